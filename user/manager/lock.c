// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/lock.h"

#include <fcntl.h>
#include <ipn/control.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"

#define LOCK_FILE "lock"
#define DYING_MS 3000 /* how long the last holder may take to be gone */
#define DYING_STEP_US 10000

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

/*
 * What is locked, and what is in it, must be out of the reach of others: who may write in a
 * directory takes what he likes for ours, or ours away.
 */
static int dir_is_ours(int fd, const char *dir, const char *option, struct errtext *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_text(e, -errno, "%s: %s", dir, strerror(errno));
	if (st.st_uid != geteuid())
		return err_text(
			e, -EPERM,
			"%s: belongs to uid %u, not to uid %u, who starts the fabric (remove "
			"it, or choose another with %s)",
			dir, st.st_uid, geteuid(), option);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_text(e, -EPERM,
				"%s: others may write there, mode %04o (chmod go-w %s, or choose "
				"another with %s)",
				dir, st.st_mode & 07777, dir, option);
	return 0;
}

#define EXITING 4U /* PF_EXITING, among the flags of /proc/PID/stat */

/* Has the process that holds a lock ended, or been killed, and is only not gone yet? */
static bool is_dying(const char *pid)
{
	unsigned long long own = 0, shared = 0;
	unsigned int flags = EXITING;
	char path[64], line[128], state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", *pid ? pid : "0");
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		state = 'X';
	fclose(f);
	if (state == 'Z' || state == 'X' || (flags & EXITING))
		return true;
	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "SigPnd: %llx", &own);
		(void)sscanf(line, "ShdPnd: %llx", &shared);
	}
	if (f)
		fclose(f);
	return (own | shared) >> (SIGKILL - 1) & 1;
}

/* seccomp: manager: flock pread64 pwrite64 ftruncate fchmod mkdir rmdir unlinkat */
/* Locks it. A holder that has been killed is waited for; one that lives is not. */
static int lock_take(int fd, const char *holder)
{
	for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB); ms += DYING_STEP_US / 1000) {
		if (errno != EWOULDBLOCK || ms >= DYING_MS || !is_dying(holder))
			return -errno;
		usleep(DYING_STEP_US);
	}
	return 0;
}

int lock_run_dir(struct lock *l, const char *dir, struct errtext *e)
{
	char pid[32];
	int r;

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
	r = dir_is_ours(l->run_fd, dir, "--run-dir", e);
	if (r)
		return r;
	/* whoever could open it could lock it */
	l->lock_fd = openat(l->run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->lock_fd < 0)
		return err_text(e, -errno, "%s/%s: %s (run as root, or choose another --run-dir)",
				dir, LOCK_FILE, strerror(errno));
	lock_read(l, pid, sizeof(pid));
	if (lock_take(l->lock_fd, pid))
		return err_text(
			e, -EBUSY,
			"a manager runs already in %s, pid %s (end it with: ipn-fabric down)", dir,
			pid);
	if (fchmod(l->lock_fd, 0600)) /* one of an older version */
		return err_text(e, -errno, "%s/%s: %s", dir, LOCK_FILE, strerror(errno));
	lock_read(l, l->holder, sizeof(l->holder));
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
	r = dir_is_ours(l->bpf_lock_fd, dir, "--bpffs", e);
	if (r)
		return r;
	if (lock_take(l->bpf_lock_fd, l->holder))
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
