// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descriptors whose last close waits for a grace period of the kernel, 5 to 20 ms: an inotify
 * instance and a packet socket. A test that starts a thousand managers would do nothing else. So
 * each manager gets a duplicate of one that stays; of the inotify instance without what the manager
 * before it watched.
 */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"

#define WATCHES 1024 /* of one manager */

static int inotify_fd = -1, packet_fd = -1;
static int watches[WATCHES];
static unsigned int nwatches;

unsigned int slow_fds(void)
{
	return (inotify_fd >= 0) + (packet_fd >= 0);
}

int inotify_init1(int flags)
{
	char buffer[4096];

	if (inotify_fd < 0)
		inotify_fd = (int)syscall(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
	while (nwatches)
		inotify_rm_watch(inotify_fd, watches[--nwatches]);
	while (inotify_fd >= 0 && read(inotify_fd, buffer, sizeof(buffer)) > 0)
		;
	return fcntl(inotify_fd, F_DUPFD_CLOEXEC, 0);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	int watch = (int)syscall(SYS_inotify_add_watch, fd, path, mask);

	if (watch >= 0 && nwatches < WATCHES)
		watches[nwatches++] = watch;
	return watch;
}

int socket(int family, int type, int protocol)
{
	if (family != AF_PACKET)
		return (int)syscall(SYS_socket, family, type, protocol);
	if (packet_fd < 0)
		packet_fd = (int)syscall(SYS_socket, family, type, protocol);
	return packet_fd < 0 ? -1 : fcntl(packet_fd, F_DUPFD_CLOEXEC, 0);
}
