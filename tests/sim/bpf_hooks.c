// SPDX-License-Identifier: GPL-2.0-or-later
/* The programs of bpf/hooks/hooks.bpf.c, for the simulation. */
#include "small.h"
#define LICENSE sim_license_hooks
#include "hooks/hooks.bpf.c"
