/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which fault makes sense at which call. Each exception is a line in rules.c, with its reason. */
#ifndef IPN_TESTS_INJECT_RULES_H
#define IPN_TESTS_INJECT_RULES_H

#include <stdbool.h>

#include "trace.h"

/* Can the call fail so? */
bool rules_can_fail(const struct call *call, int error);
/* Is something other outside of the process after the call than before it? */
bool rules_changes(const struct call *call);
/* "openat", "bpf MAP_CREATE" */
const char *rules_name(const struct call *call);

#endif
