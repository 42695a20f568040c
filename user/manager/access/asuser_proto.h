/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the manager and a process that acts as a user (asuser.h) say to each other. */
#ifndef IPN_MANAGER_ASUSER_PROTO_H
#define IPN_MANAGER_ASUSER_PROTO_H

#include "manager/access/asuser.h"

#define ASUSER_FD 3 /* the process's end of its socket */

/* In a memfd, with the groups behind: who the process is to be. */
struct asuser_blob {
	__u32 uid;
	__u32 gid;
	__u32 account;
	__u32 by_name; /* gid and groups are those of the user database */
	__u32 ngroups;
	__u32 has_ns; /* its mount namespace and its root directory are not those of the manager */
	__u32 has_root;
	__u32 pad;
	__u64 caps;
	__u64 ns_ino;
	__u64 alone;    /* not 0: never the same as another */
	char root[256]; /* text of its root directory: tells apart, and is not walked */
};

/* First the manager sends the identity: descriptors as asuser_id_fds. Answer: 0 or -errno. */
struct asuser_hello {
	__s32 status;
};

/* Then packets of these sizes, each with at most one descriptor, in the same order. */
struct asuser_packet {
	__u32 op;
	__u32 mode;
	__u64 dev;
	__u64 ino;
	__u64 btime;
	char path[IPN_PATH_MAX];
	char file[16];
	__u32 pad;
};

struct asuser_reply {
	__s32 status;
	__u32 made;
	__u64 dev;
	__u64 ino;
};

/* The process. Returns its exit status. */
int asuser_child_run(void);

#endif
