// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is an inode on a file system that answers by itself?
 *
 * Rights are judged by asking the inode's file system, again and again, and one that asks a server
 * (FUSE, NFS...) may take for ever to answer. So no such inode becomes a network. To ask the file
 * system what it is could take as long (FUSE is asked by fstatfs, too), but its mount can be looked
 * up in the tables of mounts, by its number, which is the kernel's own: first in ours, then, for
 * containers, in that of the client. The descriptor holds the mount, so the number stays its own.
 *
 * An overlay asks the file systems below it, which a client who mounted it himself has chosen: only
 * those that we see count.
 *
 * Failure: what cannot be found out is refused.
 */
#include "manager/access/fstype.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/errtext.h"
#include "common/util.h"

#define TABLE_MAX (4UL << 20) /* bytes: a client may have made many mounts */

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000
#endif

/* By what their types begin with. */
static const char *const remote[] = {
	"fuse", "nfs",   "cifs",     "smb3",   "9p",       "ceph",  "afs",      "coda",   "lustre",
	"gfs2", "ocfs2", "virtiofs", "autofs", "orangefs", "pvfs2", "ecryptfs", "vboxsf",
};

/* seccomp: manager: statx openat lseek */

/* The type of mount `id` in a table. -ENOENT: it is not there. */
static int mount_type(const char *table, unsigned long long id, char *type, size_t size)
{
	FILE *f = fopen(table, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0, sum = 0;
	int r = -ENOENT;
	ssize_t n;

	if (!f)
		return -errno;
	/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS] - TYPE ...; spaces in names are \040 */
	while (r == -ENOENT && (n = getline(&line, &room, f)) > 0) {
		const char *dash = strstr(line, " - ");

		sum += (size_t)n;
		if (sum > TABLE_MAX)
			r = -E2BIG;
		else if (dash && strtoull(line, NULL, 10) == id)
			r = sscanf(dash, " - %31s", type) == 1 && size >= 32 ? 0 : -EINVAL;
	}
	fclose(f);
	return r;
}

int fstype_check(int fd, pid_t client, struct errtext *e)
{
	char table[64], type[32];
	struct statx sx;
	bool ours = true;
	int r;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &sx) < 0)
		return err_text(e, -EBADF, "the descriptor of the path is unusable");
	r = mount_type("/proc/self/mountinfo", sx.stx_mnt_id, type, sizeof(type));
	if (r == -ENOENT && client > 0) {
		ours = false;
		snprintf(table, sizeof(table), "/proc/%d/mountinfo", client);
		r = mount_type(table, sx.stx_mnt_id, type, sizeof(type));
	}
	if (r)
		return err_text(e, -EOPNOTSUPP,
				"cannot tell on what file system it is (choose a path on another)");
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
		if (!strncmp(type, remote[i], strlen(remote[i])))
			return err_text(e, -EOPNOTSUPP,
					"is on a file system (%s) that another process or machine "
					"answers for (choose a local one, as below /run)",
					type);
	if (!ours && !strcmp(type, "overlay"))
		return err_text(
			e, -EOPNOTSUPP,
			"is on an overlay that only you see (choose another file system, as "
			"a tmpfs)");
	return 0;
}

bool fstype_mount_ours(int fd)
{
	char type[32];
	struct statx sx;

	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &sx) &&
	       (!mount_type("/proc/self/mountinfo", sx.stx_mnt_id, type, sizeof(type)) ||
		!mount_type("/proc/1/mountinfo", sx.stx_mnt_id, type, sizeof(type)));
}
