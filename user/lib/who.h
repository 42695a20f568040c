/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The identity by which a process is judged, as a number to compare. */
#ifndef IPN_WHO_H
#define IPN_WHO_H

#include <stdint.h>

/* Effective ids, supplementary groups, effective capabilities. */
uint64_t who_am_i(void);

#endif
