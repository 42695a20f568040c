/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager says: to stderr while it is in the foreground or starting, else to syslog. */
#ifndef IPN_MANAGER_SAY_H
#define IPN_MANAGER_SAY_H

#include <stddef.h>
#include <syslog.h>

void say_to_syslog(void);
void say(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Writes a line for the user into text[size]. Its value is err: return fail(text, size, -EINVAL,
 * ..). A macro, so that compilers and checkers see which value is returned.
 */
#define fail(text, size, err, ...)                  \
	({                                          \
		__typeof__(err) failed_ = (err);    \
		fail_text(text, size, __VA_ARGS__); \
		failed_;                            \
	})
void fail_text(char *text, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
