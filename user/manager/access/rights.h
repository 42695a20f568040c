/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may do what: the rows stand in rights.def. */
#ifndef IPN_MANAGER_RIGHTS_H
#define IPN_MANAGER_RIGHTS_H

#include <stdbool.h>

struct errtext;
struct perm_peer;

enum rights_who {
	WHO_R = 1,         /* the r right on the path */
	WHO_W,             /* w */
	WHO_X,             /* x */
	WHO_ANY,           /* one of them */
	WHO_MANAGER,       /* manager of the network: rights_manages */
	WHO_MANAGER_BOUND, /* the same, by a socket that is bound, which takes x */
	WHO_NET_ADMIN,     /* CAP_NET_ADMIN */
	WHO_NET_RAW,       /* CAP_NET_RAW, as the kernel asks who opens such a socket */
	WHO_POLICY,        /* CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, as the kernel asks */
	WHO_SYS_ADMIN,     /* CAP_SYS_ADMIN */
};

enum right {
#define RIGHT(act, who, word, what) RIGHT_##act,
#include "manager/access/rights.def"
#undef RIGHT
	RIGHTS
};

/*
 * May the peer do that with the network whose inode `fd` is (an O_PATH descriptor; -1 where the row
 * asks for no network)? path: of the network, for the message. 0; -EACCES: no r or w; -EPERM: any
 * other right is missing; other errors: it cannot be judged.
 */
int rights_check(enum right right, const struct perm_peer *peer, int fd, const char *path,
		 struct errtext *e);

/*
 * Is the peer a manager of the network: the owner of its inode; somebody to whom its group or an
 * entry of its ACL gives x (what the mode gives to others does not count, or a mode as 0755 would
 * make everybody a manager); or somebody with CAP_NET_ADMIN in our user namespace?
 */
bool rights_manages(const struct perm_peer *peer, int fd);

/* The word of a right, and what it is. */
const char *rights_word(enum right right);
const char *rights_what(enum right right);

#endif
