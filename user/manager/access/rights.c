// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/access/rights.h"

#include <linux/capability.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/perm.h"

#define ACL_NAME "system.posix_acl_access"
#define ACL_MAX 4096 /* bytes; an ACL that is longer makes nobody a manager */

/* of linux/posix_acl.h, which is not for user space */
#define ACL_TAG_USER 0x02
#define ACL_TAG_GROUP_OBJ 0x04
#define ACL_TAG_GROUP 0x08

static const struct {
	enum rights_who who;
	const char *word;
	const char *what;
} rights[RIGHTS] = {
#define RIGHT(act, who, word, what) [RIGHT_##act] = { who, word, what },
#include "manager/access/rights.def"
#undef RIGHT
};

const char *rights_word(enum right right)
{
	return rights[right].word;
}

const char *rights_what(enum right right)
{
	return rights[right].what;
}

static bool in_group(const struct perm_peer *peer, gid_t gid)
{
	for (int i = 0; i < peer->ngroups; i++)
		if (peer->groups[i] == gid)
			return true;
	return peer->gid == gid;
}

/* seccomp: manager: getxattr fgetxattr */
/* Does an entry that is for this peer, or for a group of its, give x? */
static bool acl_gives_x(int fd, const struct perm_inode *inode, const struct perm_peer *peer)
{
	char path[32], data[ACL_MAX];
	const struct posix_acl_xattr_entry *e;
	struct posix_acl_xattr_header h;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = getxattr(path, ACL_NAME, data, sizeof(data));
	if (n < (ssize_t)sizeof(h)) /* no ACL: only the group of the mode */
		return (inode->mode & 010) && in_group(peer, inode->gid);
	memcpy(&h, data, sizeof(h));
	if (h.a_version != POSIX_ACL_XATTR_VERSION)
		return false;
	e = (const void *)(data + sizeof(h));
	for (size_t i = 0; i < ((size_t)n - sizeof(h)) / sizeof(*e); i++) {
		if (!(e[i].e_perm & PERM_X))
			continue;
		if ((e[i].e_tag == ACL_TAG_USER && e[i].e_id == peer->uid) ||
		    (e[i].e_tag == ACL_TAG_GROUP && in_group(peer, e[i].e_id)) ||
		    (e[i].e_tag == ACL_TAG_GROUP_OBJ && in_group(peer, inode->gid)))
			return true;
	}
	return false;
}

bool rights_manages(const struct perm_peer *peer, int fd)
{
	struct perm_inode inode;

	if (perm_cap(peer, CAP_NET_ADMIN))
		return true;
	if (perm_inode_get(fd, &inode))
		return false;
	if (inode.uid == peer->uid)
		return true;
	/* the kernel says whether x is there at all, with the mask of the ACL */
	return perm_check(fd, peer) > 0 && (perm_check(fd, peer) & PERM_X) &&
	       acl_gives_x(fd, &inode, peer);
}

static int denied(enum right right, const struct perm_peer *peer, int r, const char *who,
		  struct errtext *e)
{
	return err_text(e, r, "uid %u may not %s (only %s)", peer->uid, rights[right].what, who);
}

static int check_mask(enum right right, const struct perm_peer *peer, int fd, const char *path,
		      struct errtext *e)
{
	static const struct {
		int mask;
		const char *letters;
	} needs[] = {
		[WHO_R] = { PERM_R, "with the r permission" },
		[WHO_W] = { PERM_W, "with the w permission" },
		[WHO_X] = { PERM_X, "with the x permission" },
		[WHO_ANY] = { PERM_R | PERM_W | PERM_X, "with a permission on it" },
	};
	enum rights_who who = rights[right].who;
	int r = perm_check(fd, peer);

	if (r > 0 && r & needs[who].mask)
		return 0;
	if (who == WHO_ANY && rights_manages(peer, fd)) /* also of a network whose inode is lost */
		return 0;
	if (r < 0)
		return err_text(e, r, "cannot judge the permissions of %s: %s", path, strerror(-r));
	return denied(right, peer, who == WHO_X ? -EPERM : -EACCES, needs[who].letters, e);
}

int rights_check(enum right right, const struct perm_peer *peer, int fd, const char *path,
		 struct errtext *e)
{
	bool net_admin = perm_cap(peer, CAP_NET_ADMIN);

	switch (rights[right].who) {
	case WHO_MANAGER:
	case WHO_MANAGER_BOUND:
		if (rights_manages(peer, fd))
			return 0;
		return denied(right, peer, -EPERM,
			      "its owner, its group or an ACL entry with x, or CAP_NET_ADMIN", e);
	case WHO_NET_ADMIN:
		return net_admin
			       ? 0
			       : denied(right, peer, -EPERM, "with CAP_NET_ADMIN: run as root", e);
	case WHO_NET_RAW:
		if (perm_cap(peer, CAP_NET_RAW))
			return 0;
		return denied(right, peer, -EPERM,
			      "with CAP_NET_RAW: run as root, or by setpriv with --inh-caps and "
			      "--ambient-caps +net_raw",
			      e);
	case WHO_POLICY:
		if (net_admin && perm_cap(peer, CAP_BPF) && perm_cap(peer, CAP_PERFMON))
			return 0;
		return denied(right, peer, -EPERM,
			      "with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run as root", e);
	case WHO_SYS_ADMIN:
		if (perm_cap(peer, CAP_SYS_ADMIN))
			return 0;
		return denied(right, peer, -EPERM, "with CAP_SYS_ADMIN: run as root", e);
	default:
		return check_mask(right, peer, fd, path, e);
	}
}
