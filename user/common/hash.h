/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* uthash, without what it does not say to pedantic compilers. */
#ifndef IPN_COMMON_HASH_H
#define IPN_COMMON_HASH_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <uthash.h>
#pragma GCC diagnostic pop

#endif
