/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each process of the fabric may still do when it begins with its work: capabilities, system
 * calls, descriptors, file system, network. Nothing of it can be taken back, by the process or by
 * what it starts.
 */
#ifndef IPN_MANAGER_POWERS_H
#define IPN_MANAGER_POWERS_H

#include <stddef.h>

struct errtext;

enum powers_kind {
	POWERS_MANAGER,
	POWERS_FDSTORE,
	POWERS_LOADER,
	POWERS_HELPER, /* a process that acts as a user: it has that user's identity already */
};

/*
 * Leaves this thread, and the processes and threads that it starts from here on, the capabilities
 * and system calls of their kind, and no new ones by execve(). To be called before there are other
 * threads. On failure returns -errno with one line in *e; a part may have been given up already.
 */
int powers_reduce(enum powers_kind kind, struct errtext *e);

/*
 * Gives this process a network without any interface, and a root directory with nothing in it but
 * the kernel's type information, /sys/kernel/btf/vmlinux, which libbpf reads. Needs CAP_SYS_ADMIN
 * and CAP_SYS_CHROOT.
 */
int powers_isolate(struct errtext *e);

/* Closes all descriptors but these n; sorts them. */
int powers_close_others(int *fds, size_t n);

#endif
