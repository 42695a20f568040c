/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager says: to stderr while it is in the foreground or starting, else to syslog. */
#ifndef IPN_MANAGER_SAY_H
#define IPN_MANAGER_SAY_H

#include <stddef.h>
#include <syslog.h>

void say_to_syslog(void);
void say(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes a line for the user into text[size] and returns err: `return fail(text, size, -EINVAL, ...)`. */
int fail(char *text, size_t size, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
