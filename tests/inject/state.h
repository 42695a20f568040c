/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that a fabric is made of, as text: two of these are equal when nothing was left behind. */
#ifndef IPN_TESTS_INJECT_STATE_H
#define IPN_TESTS_INJECT_STATE_H

#include <stdbool.h>
#include <sys/types.h>

/* Interfaces, files and pins, rows of maps, processes. To be freed. */
char *state_get(void);
/* What descriptors the process has. To be freed. */
char *state_fds(pid_t pid);
/* Are all lines of the second in the first, as often? */
bool state_has_all(const char *all, const char *some);
/* Prints the lines that only one of them has. */
void state_diff(const char *before, const char *now);

#endif
