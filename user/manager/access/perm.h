/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is at the other end of a control connection, and what that process may do with an inode.
 */
#ifndef IPN_PERM_H
#define IPN_PERM_H

#include <stdbool.h>
#include <sys/types.h>
#include <linux/types.h>

#define PERM_R 4
#define PERM_W 2
#define PERM_X 1
#define PERM_GROUPS_MAX 65536

/* Credentials of a peer when it connected. `groups` is owned by the struct. */
struct perm_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int ngroups;
	/*
	 * Whose quota it uses: uid, or, for a process in a user namespace below ours, the owner of
	 * that: all uids that a user has there count as one.
	 */
	uid_t account;
	__u64 caps; /* in the manager's user namespace, a bit for each that counts: perm.c */
};

/* cap: CAP_NET_ADMIN ... */
static inline bool perm_cap(const struct perm_peer *peer, int cap)
{
	return peer->caps >> cap & 1;
}

/* From SO_PEERCRED, SO_PEERGROUPS, and the capabilities of that very process (checked by pidfd). */
int perm_peer_get(int sock, struct perm_peer *peer);
void perm_peer_free(struct perm_peer *peer);
/* perm_peer.account of the process at the other end of a socket, whose pid and uid it says. */
uid_t perm_account(int sock, pid_t pid, uid_t uid);

/*
 * The r, w, x the peer has on the inode of `fd` (an O_PATH descriptor), mode bits and ACLs, as the
 * kernel judges it: the calling thread takes the peer's file-system identity for the question and
 * is back to its own on return, also on failure. root with CAP_DAC_OVERRIDE has all of them, x
 * included.
 * Returns a mask of PERM_*, or -errno.
 */
int perm_check(int fd, const struct perm_peer *peer);

/*
 * Identity of the inode of a descriptor a client sent. Never blocks (does not ask remote servers).
 */
struct perm_inode {
	__u64 dev; /* makedev of the file system */
	__u64 ino;
	__u64 btime; /* ns; 0 unknown */
	__u32 mode;  /* type and permission bits */
	__u32 uid;
	__u32 gid;
	__u32 nlink;
};
int perm_inode_get(int fd, struct perm_inode *inode);

#endif
