/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one line that tells a user what was wrong, with which value, and what to do. */
#ifndef IPN_COMMON_ERRTEXT_H
#define IPN_COMMON_ERRTEXT_H

/* Where a function that fails puts the line. Empty: strerror() of its errno says it all. */
struct errtext {
	char text[256];
};

/*
 * Writes the line into *e. Its value is err: return err_text(e, -EINVAL, "...", ...). A macro, so
 * that compilers and checkers see which value is returned.
 */
#define err_text(e, err, ...)                    \
	({                                       \
		__typeof__(err) failed_ = (err); \
		err_text_set(e, __VA_ARGS__);    \
		failed_;                         \
	})
void err_text_set(struct errtext *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
