// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The real user/manager/access/asuser.c. With stub_asuser_threads() what it starts is no process
 * but a thread of this one, which does the jobs (asuser_child.c) without becoming anybody: to
 * execute a program takes a hundred times as long, and most tests are not about identities.
 */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"

#define PID 0x40000000 /* above all of the kernel's */

struct helper {
	struct helper *next;
	pthread_t thread;
	pid_t pid;
	int fd, pidfd;
	bool ended;
};

static bool threads;
static int spawn_fd;
static pid_t last_pid = PID;
static struct helper *helpers;

void stub_asuser_threads(bool on)
{
	threads = on;
}

static void *helper_run(void *arg)
{
	struct helper *h = arg;

	asuser_serve(h->fd);
	close(h->fd);
	__atomic_store_n(&h->ended, true, __ATOMIC_RELEASE);
	eventfd_write(h->pidfd, 1);
	return NULL;
}

static struct helper *helper_get(pid_t pid)
{
	struct helper *h = helpers;

	while (h && h->pid != pid)
		h = h->next;
	return h;
}

static void helper_free(struct helper *h)
{
	struct helper **at = &helpers;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	pthread_join(h->thread, NULL);
	close(h->pidfd);
	free(h);
}

void stub_helpers_end(void)
{
	while (helpers)
		helper_free(helpers);
}

unsigned int stub_helpers(void)
{
	unsigned int n = 0;

	for (const struct helper *h = helpers; h; h = h->next)
		n += !__atomic_load_n(&h->ended, __ATOMIC_ACQUIRE);
	return n;
}

/* That of the thread, its number, and the manager's two. */
unsigned int helper_fds(void)
{
	unsigned int n = 0;

	for (const struct helper *h = helpers; h; h = h->next)
		n += __atomic_load_n(&h->ended, __ATOMIC_ACQUIRE) ? 1 : 4;
	return n;
}

static int dup2_add(posix_spawn_file_actions_t *files, int fd, int to)
{
	spawn_fd = fd;
	return posix_spawn_file_actions_adddup2(files, fd, to);
}

static int helper_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files,
			const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	struct helper *h;

	if (!threads)
		return posix_spawn(pid, path, files, attr, argv, env);
	h = calloc(1, sizeof(*h));
	if (!h)
		return ENOMEM;
	h->pid = *pid = ++last_pid;
	h->fd = fcntl(spawn_fd, F_DUPFD_CLOEXEC, 0);
	h->pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->fd < 0 || h->pidfd < 0 || pthread_create(&h->thread, NULL, helper_run, h))
		abort();
	h->next = helpers;
	helpers = h;
	return 0;
}

static int helper_pidfd(pid_t pid)
{
	const struct helper *h = helper_get(pid);

	return h ? fcntl(h->pidfd, F_DUPFD_CLOEXEC, 0) : (int)syscall(SYS_pidfd_open, pid, 0);
}

/* A thread ends when its socket does. */
static int helper_signal(int pidfd, int sig)
{
	return sig && threads ? 0 : (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

static int helper_wait(idtype_t type, id_t id, siginfo_t *info, int flags)
{
	struct helper *h = helper_get((pid_t)id);

	if (!h)
		return waitid(type, id, info, flags);
	if (!__atomic_load_n(&h->ended, __ATOMIC_ACQUIRE))
		return 0;
	info->si_pid = h->pid;
	helper_free(h);
	return 0;
}

#define CALL_SYS_pidfd_open(pid, flags) helper_pidfd(pid)
#define CALL_SYS_pidfd_send_signal(pidfd, sig, info, flags) helper_signal(pidfd, sig)
#define syscall(nr, ...) CALL_##nr(__VA_ARGS__)
#define posix_spawn helper_spawn
#define posix_spawn_file_actions_adddup2 dup2_add
#define waitid helper_wait
#include "../../../user/manager/access/asuser.c" // NOLINT(bugprone-suspicious-include)
