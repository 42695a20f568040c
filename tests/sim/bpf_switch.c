// SPDX-License-Identifier: GPL-2.0-or-later
/* The programs of bpf/policy/switch.bpf.c, for the simulation. */
#include "small.h"
#define ipn_license sim_license_switch
#define ipn_mark sim_mark_switch
#include "policy/switch.bpf.c"
