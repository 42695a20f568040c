// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/access/readers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define ACL_NAME "system.posix_acl_access"
#define ACL_MAX 65536 /* XATTR_SIZE_MAX */
#define R_BITS 0444

/* seccomp: manager: statx getxattr */

/* FNV-1a. Whoever can choose the ACL may read the inode anyway, or make it so that he may. */
static __u64 hash(const unsigned char *data, size_t n)
{
	__u64 h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ data[i]) * 0x100000001b3ULL;
	return h ? h : 1;
}

static int acl_get(int fd, __u64 *acl)
{
	static unsigned char data[ACL_MAX];
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = getxattr(path, ACL_NAME, data, sizeof(data));
	*acl = n > 0 ? hash(data, (size_t)n) : 0;
	return n >= 0 || errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
}

int readers_get(int fd, struct ipn_readers *out)
{
	const unsigned int need = STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_CTIME;
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, need, &sx) < 0)
		return -errno;
	*out = (struct ipn_readers){
		.ctime = (__u64)sx.stx_ctime.tv_sec * 1000000000 + sx.stx_ctime.tv_nsec,
		.mode = sx.stx_mode & 07777,
		.uid = sx.stx_uid,
		.gid = sx.stx_gid,
		.gone = sx.stx_nlink == 0,
	};
	return acl_get(fd, &out->acl);
}

bool readers_all(const struct ipn_readers *r)
{
	return (r->mode & R_BITS) == R_BITS && !r->acl && !r->gone;
}

bool readers_lost(const struct ipn_readers *old, const struct ipn_readers *now)
{
	if (now->gone != old->gone)
		return now->gone;
	if (readers_all(now))
		return false;
	return old->uid != now->uid || old->gid != now->gid || old->acl != now->acl ||
	       (old->mode & ~now->mode & R_BITS);
}
