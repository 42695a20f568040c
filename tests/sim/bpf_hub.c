// SPDX-License-Identifier: GPL-2.0-or-later
/* The programs of bpf/policy/hub.bpf.c, for the simulation. */
#include "small.h"
#define ipn_license sim_license_hub
#define ipn_mark sim_mark_hub
#include "policy/hub.bpf.c"
