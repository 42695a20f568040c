// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/lock.h"

#include <fcntl.h>
#include <ipn/control.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"

#define LOCK_FILE "lock"

void lock_init(struct lock *l)
{
	*l = (struct lock){ .run_fd = -1, .lock_fd = -1, .bpf_lock_fd = -1 };
}

/* What the last manager wrote into the lock file. */
static void lock_read(struct lock *l, char *pid, size_t size)
{
	char text[128] = "";
	ssize_t n = pread(l->lock_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	l->made_run_dir |= strstr(text, " run_dir") != NULL;
	l->made_bpffs_dir |= strstr(text, " bpffs_dir") != NULL;
	snprintf(pid, size, "%.*s", (int)strcspn(text, " \n"), text);
}

int lock_write(struct lock *l)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%d%s%s\n", getpid(),
			 l->made_run_dir ? " run_dir" : "", l->made_bpffs_dir ? " bpffs_dir" : "");

	if (ftruncate(l->lock_fd, 0) || pwrite(l->lock_fd, text, (size_t)n, 0) != n)
		return -errno;
	return 0;
}

int lock_run_dir(struct lock *l, const char *dir, struct errtext *e)
{
	char pid[32];

	if (strlen(dir) + sizeof("/" IPN_CTL_SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_text(e, -ENAMETOOLONG,
				"%s: too long for a socket in it (choose a shorter --run-dir)",
				dir);
	if (!mkdir(dir, 0755))
		l->made_run_dir = true;
	else if (errno != EEXIST)
		return err_text(e, -errno, "%s: %s (choose another with --run-dir)", dir,
				strerror(errno));
	l->run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->run_fd < 0)
		return err_text(e, -errno, "%s: %s (choose another with --run-dir)", dir,
				strerror(errno));
	l->lock_fd = openat(l->run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (l->lock_fd < 0)
		return err_text(e, -errno, "%s/%s: %s (run as root, or choose another --run-dir)",
				dir, LOCK_FILE, strerror(errno));
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB)) {
		lock_read(l, pid, sizeof(pid));
		return err_text(
			e, -EBUSY,
			"a manager runs already in %s, pid %s (end it with: ipn-fabric down)", dir,
			pid);
	}
	lock_read(l, pid, sizeof(pid));
	l->run_locked = true;
	return 0;
}

int lock_bpffs(struct lock *l, const char *bpffs, struct errtext *e)
{
	char dir[256];
	int r;

	r = bpf_dir_make(bpffs, e);
	if (r < 0)
		return r;
	l->made_bpffs_dir |= r;
	snprintf(dir, sizeof(dir), "%s/ipn-fabric", bpffs);
	l->bpf_lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->bpf_lock_fd < 0)
		return err_text(e, -errno, "%s: %s (run as root, or choose another --bpffs)", dir,
				strerror(errno));
	if (flock(l->bpf_lock_fd, LOCK_EX | LOCK_NB))
		return err_text(e, -EBUSY,
				"%s: belongs to a manager of another run directory "
				"(choose another --bpffs)",
				dir);
	l->locked = true;
	return 0;
}

void lock_remove_run_files(struct lock *l, const char *run_dir)
{
	unlinkat(l->run_fd, IPN_CTL_SOCKET, 0);
	unlinkat(l->run_fd, LOCK_FILE, 0);
	if (l->made_run_dir)
		rmdir(run_dir);
}

void lock_close(struct lock *l)
{
	util_close_fd(&l->run_fd);
	util_close_fd(&l->lock_fd);
	util_close_fd(&l->bpf_lock_fd);
}
