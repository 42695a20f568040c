/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is a matter of speed only is small here, so that little time passes before it matters. */
#ifndef SIM_SMALL_H
#define SIM_SMALL_H

#include <ipn/abi.h>

#undef IPN_WAKE_LOOKS
#define IPN_WAKE_LOOKS 2

#endif
