/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of the control protocol and the descriptors with them. */
#ifndef IPN_MANAGER_PACKET_H
#define IPN_MANAGER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/fdpass.h"

struct async_close;
struct user;

/* One packet as it came. */
struct packet {
	ssize_t len;
	bool cut;     /* it was longer, or had more descriptors */
	bool cut_fds; /* the latter */
	bool sender;  /* it says who sent it (SO_PASSCRED): so it is a packet and no end of file */
	unsigned int nfds;
	int fds[FDPASS_MAX]; /* none may be left to the kernel */
};

/* flags: 0, or MSG_PEEK, which takes no descriptors. Returns 0 or -errno. */
int packet_receive(int fd, struct packet *p, void *buf, size_t size, int flags);
/* Closes the descriptors that came with it. */
void packet_drop_fds(struct async_close *c, struct user *u, const struct packet *p);
/* Sends one with descriptors (at most IPN_CTL_MAX_FDS), without waiting. Returns 0 or -errno. */
int packet_send(int fd, const void *data, size_t len, const int *fds, unsigned int nfds);

#endif
