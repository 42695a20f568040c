// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Arguments that are no memory. A call of the system fails with EFAULT where the library would end
 * the program. Only the kernel can tell without harm, and to ask it for each message would double
 * what receiving costs. So it is asked once for each page (MADV_POPULATE_READ, _WRITE, which change
 * nothing), and what it found to be good is noted, until the program unmaps or protects pages.
 *
 * What was not found to be good may be so all the same: who receives into 64 KiB need not have more
 * memory than the message is long, and memory of devices cannot be populated. Such a message is
 * copied by the kernel, out of or into the program, through a memory file.
 *
 * What glibc unmaps by itself, freed memory and stacks of threads that ended, is not noticed.
 */
#include <limits.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "lib/rx.h"
#include "lib/tx.h"
#include "preload/shim.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_SHIFT 12 /* of the table: the system's pages are as long or longer */
#define PAGES 256     /* a power of two */
#define MESSAGE_MAX 65535

/* (Page number + 1) * 2, + 1: can be written. Each word is one page's, or 0. */
static uint64_t known[PAGES];

static uint64_t *known_at(uintptr_t page)
{
	return &known[(page ^ page >> 8) & (PAGES - 1)];
}

static bool is_known(uintptr_t page, bool write)
{
	uint64_t word = __atomic_load_n(known_at(page), __ATOMIC_RELAXED);

	return word >> 1 == page + 1 && (word & 1 || !write);
}

static bool ask(uintptr_t first, uintptr_t last, bool write)
{
	const uintptr_t pages = ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	uintptr_t from = (first << PAGE_SHIFT) & pages, to = (last + 1) << PAGE_SHIFT;
	int saved = errno;
	bool good = to > from && !madvise((void *)from, to - from,
					  write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);

	errno = saved;
	for (uintptr_t page = first; good && page <= last; page++)
		__atomic_store_n(known_at(page), (page + 1) << 1 | write, __ATOMIC_RELAXED);
	return good;
}

static bool can(const void *p, size_t len, bool write)
{
	uintptr_t from = (uintptr_t)p, first = from >> PAGE_SHIFT, last;

	if (!len)
		return true;
	if (from + len < from)
		return false;
	last = (from + len - 1) >> PAGE_SHIFT;
	for (uintptr_t page = first; page <= last; page++)
		if (__builtin_expect(!is_known(page, write), 0))
			return ask(first, last, write);
	return true;
}

bool shim_can_read(const void *p, size_t len)
{
	return can(p, len, false);
}

bool shim_can_write(const void *p, size_t len)
{
	return can(p, len, true);
}

/* Of pieces no more is looked at than a message can have. */
static bool can_pieces(const struct iovec *iov, size_t n, bool write)
{
	size_t room = MESSAGE_MAX;

	if (n > IOV_MAX) /* is refused by its number */
		return true;
	for (size_t i = 0; i < n && room; i++) {
		size_t len = iov[i].iov_len < room ? iov[i].iov_len : room;

		if (!can(iov[i].iov_base, len, write))
			return false;
		room -= len;
	}
	return true;
}

bool shim_can_send(const struct iovec *iov, size_t n)
{
	return can_pieces(iov, n, false);
}

bool shim_can_receive(const struct iovec *iov, size_t n)
{
	return can_pieces(iov, n, true);
}

static size_t pieces_len(const struct iovec *iov, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		if (iov[i].iov_len > MESSAGE_MAX || (len += iov[i].iov_len) > MESSAGE_MAX)
			return MESSAGE_MAX + 1;
	return len;
}

/* Closes by the system's call: the number was never the program's. */
static void close_memory(const int *fd)
{
	if (*fd >= 0)
		shim_real_close(*fd);
}

#define _cleanup_memory_ __attribute__((cleanup(close_memory)))

ssize_t shim_send_by_kernel(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags)
{
	_cleanup_memory_ int fd = memfd_create("ipn-fabric-send", MFD_CLOEXEC);
	size_t len = pieces_len(iov, n);
	_cleanup_free_ char *copy = NULL;
	struct iovec one;

	if (len > MESSAGE_MAX) /* is refused by its length */
		return tx_send(s, iov, n, flags);
	copy = malloc(len + 1);
	if (fd < 0 || !copy)
		return -ENOBUFS;
	if (pwritev(fd, iov, (int)n, 0) != (ssize_t)len || pread(fd, copy, len, 0) != (ssize_t)len)
		return -EFAULT;
	one = (struct iovec){ copy, len };
	return tx_send(s, &one, 1, flags);
}

/* As with any datagram socket, a message that the program's memory does not take is gone. */
ssize_t shim_recv_by_kernel(struct ipn_sock *s, const struct iovec *iov, size_t n, int flags,
			    int *msg_flags)
{
	_cleanup_memory_ int fd = memfd_create("ipn-fabric-recv", MFD_CLOEXEC);
	size_t room = pieces_len(iov, n), len;
	_cleanup_free_ char *copy = NULL;
	struct iovec one;
	ssize_t r;

	if (room > MESSAGE_MAX)
		room = MESSAGE_MAX;
	copy = malloc(room + 1);
	if (fd < 0 || !copy)
		return -ENOBUFS;
	one = (struct iovec){ copy, room };
	r = rx_recv(s, &one, 1, flags, msg_flags);
	if (r <= 0)
		return r;
	len = (size_t)r < room ? (size_t)r : room;
	if (pwrite(fd, copy, len, 0) != (ssize_t)len)
		return -ENOBUFS;
	return preadv(fd, iov, (int)n, 0) == (ssize_t)len ? r : -EFAULT;
}

/* --- what the program takes back ---------------------------------------------------------------*/

static void forget(const void *p, size_t len)
{
	uintptr_t first = (uintptr_t)p >> PAGE_SHIFT;
	size_t n = (len >> PAGE_SHIFT) + 1;

	if (shim_idle())
		return;
	if (n >= PAGES) {
		for (int i = 0; i < PAGES; i++)
			__atomic_store_n(&known[i], 0, __ATOMIC_RELAXED);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (is_known(first + i, false))
			__atomic_store_n(known_at(first + i), 0, __ATOMIC_RELAXED);
}

SHIM_API int munmap(void *p, size_t len)
{
	forget(p, len);
	return shim_real_munmap(p, len);
}

SHIM_API int mprotect(void *p, size_t len, int protection)
{
	forget(p, len);
	return shim_real_mprotect(p, len, protection);
}

SHIM_API void *mremap(void *p, size_t old, size_t len, int flags, ...)
{
	va_list ap;
	void *to;

	va_start(ap, flags);
	to = flags & MREMAP_FIXED ? va_arg(ap, void *) : NULL;
	va_end(ap);
	forget(p, old);
	if (to)
		forget(to, len);
	return shim_real_mremap(p, old, len, flags, to);
}
