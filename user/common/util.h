/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every part of user space uses: cleanup attributes with an explicit hand-over, sizes, bounded
 * strings. Functions of this project return 0 or -errno unless their comment says otherwise.
 */
#ifndef IPN_UTIL_H
#define IPN_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void util_close_fd(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

static inline void util_free_ptr(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ __attribute__((cleanup(util_close_fd)))
#define _cleanup_free_ __attribute__((cleanup(util_free_ptr)))

/* Hands a descriptor over: the variable no longer owns it. */
static inline int util_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Hands a pointer over. */
#define util_take_ptr(p)                   \
	({                                 \
		__typeof__(p) taken = (p); \
		(p) = NULL;                \
		taken;                     \
	})

/*
 * Says the error nothing of the object it was about, but of memory, descriptors, rights, a signal?
 * What could not be looked at is not known to be gone.
 */
static inline bool util_cannot_tell(int r)
{
	return r == -ENOMEM || r == -ENOBUFS || r == -EMFILE || r == -ENFILE || r == -EINTR ||
	       r == -EAGAIN || r == -EPERM || r == -EACCES || r == -ENOSYS;
}

/* Copies src into dst[size], always terminated. Returns 0, or -ENAMETOOLONG if it was cut. */
static inline int util_copy(char *dst, size_t size, const char *src)
{
	int n = snprintf(dst, size, "%s", src);

	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

#endif
