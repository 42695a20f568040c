// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sockets over fork() and exec().
 *
 * A memory file, shared by a process and all its descendants, has a record of each IPN socket: who
 * has it, who receives from it, and, for the next program of the same process, how it is connected.
 * The descriptors that a connected socket needs besides the one the program has are kept open, at
 * numbers out of the way, with the same FD_CLOEXEC. $IPN_FABRIC_SHIM has the number of the file.
 *
 * After fork() the parent and the child have the same node, and each its own place in the stream:
 * who receives gets all messages from the fork on. They share the bell: when more than one of them
 * receives, a record that rings for one may be consumed by the other, so they look at the log every
 * so often instead of relying on it (wait.c).
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/follow.h"
#include "lib/join.h"
#include "preload/shim.h"

#define INHERIT_ENV "IPN_FABRIC_SHIM"
#define INHERIT_MAGIC 0x49504e4b45455031ULL
#define INHERIT_RECORDS 256
#define INHERIT_PROCESSES 16
#define INHERIT_FDS 5 /* IPN_CTL_FD_* */

struct inherit_record {
	uint32_t used;
	uint32_t forking; /* forks under way: whoever is born there will enter itself */
	int32_t holders[INHERIT_PROCESSES];
	int32_t readers[INHERIT_PROCESSES];

	/* for the next program */
	uint64_t cookie;
	uint32_t state, shut;
	int32_t family, policy, port;
	int32_t fds[INHERIT_FDS]; /* by the bits IPN_CTL_FD_*; -1: none */
	int32_t control, life;    /* the same, of every socket */
	struct sock_params params;
	struct ipn_ctl_net net;
	struct ipn_ctl_connected connected;
	char descr[IPN_DESCR_MAX];
	char path[ADDR_PATH_SIZE];
};

struct inherit_file {
	uint64_t magic;
	struct inherit_record record[INHERIT_RECORDS];
};

static struct inherit_file *file;
static pid_t own_pid;

bool shim_own_memory(void)
{
	return getpid() == own_pid;
}

static void pid_add(int32_t *pids, int32_t pid)
{
	for (int i = 0; i < INHERIT_PROCESSES; i++) {
		int32_t now = __atomic_load_n(&pids[i], __ATOMIC_RELAXED);

		if (now == pid)
			return;
		/* a process that died did not take itself off */
		if (now && (!kill(now, 0) || errno != ESRCH))
			continue;
		if (__atomic_compare_exchange_n(&pids[i], &now, pid, false, __ATOMIC_SEQ_CST,
						__ATOMIC_RELAXED))
			return;
	}
}

static void pid_remove(int32_t *pids, int32_t pid)
{
	for (int i = 0; i < INHERIT_PROCESSES; i++) {
		int32_t now = pid;

		__atomic_compare_exchange_n(&pids[i], &now, 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
	}
}

/* Is there a living process but `self` among them? */
static bool pid_others(int32_t *pids, int32_t self)
{
	int saved = errno;
	bool others = false;

	for (int i = 0; i < INHERIT_PROCESSES && !others; i++) {
		int32_t now = __atomic_load_n(&pids[i], __ATOMIC_SEQ_CST);

		if (!now || now == self)
			continue;
		if (kill(now, 0) && errno == ESRCH)
			pid_remove(pids, now);
		else
			others = true;
	}
	errno = saved;
	return others;
}

static bool pid_in(const int32_t *pids, int32_t pid)
{
	for (int i = 0; i < INHERIT_PROCESSES; i++) {
		if (__atomic_load_n(&pids[i], __ATOMIC_RELAXED) == pid)
			return true;
	}
	return false;
}

/* A record for a new socket; those of the dead are taken when no other is left. NULL: full. */
static struct inherit_record *record_new(void)
{
	for (int full = 0; full < 2; full++) {
		for (int i = 0; i < INHERIT_RECORDS; i++) {
			struct inherit_record *k = &file->record[i];
			uint32_t used = full ? 1 : 0;

			if (full && pid_others(k->holders, 0))
				continue;
			if (!__atomic_compare_exchange_n(&k->used, &used, 1, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
				continue;
			memset(&k->forking, 0,
			       sizeof(*k) - offsetof(struct inherit_record, forking));
			memset(k->fds, -1, sizeof(k->fds));
			k->control = k->life = -1;
			pid_add(k->holders, own_pid);
			return k;
		}
	}
	return NULL;
}

/* It goes where the program's descriptor goes: over exec(), or not. */
static void keep_own(const struct ipn_sock *s, struct sock_own *own)
{
	int cloexec = shim_real_fcntl(s->fd, F_GETFD, NULL) & FD_CLOEXEC;

	shim_hide_away(&own->fd);
	if (own->fd >= 0)
		shim_real_fcntl(own->fd, F_SETFD, (void *)(intptr_t)cloexec);
}

void shim_inherit(struct ipn_sock *s)
{
	struct inherit_record *k;

	pthread_mutex_lock(&s->lock);
	shim_hide_away(&s->path_fd);
	keep_own(s, &s->control);
	keep_own(s, &s->life);
	if (file && !s->inherit)
		s->inherit = record_new();
	k = s->inherit;
	if (k) {
		k->cookie = s->cookie;
		k->control = s->control.fd;
		k->life = s->life.fd;
		k->shut = s->shut;
		k->family = s->family;
		k->policy = s->policy;
		k->port = s->port;
		k->params = s->params;
		k->net = s->net;
		memcpy(k->descr, s->descr, sizeof(k->descr));
		memcpy(k->path, s->path, sizeof(k->path));
		__atomic_store_n(&k->state, s->state, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
}

/* join_placed: moves what the socket needs out of the way, and keeps what it only maps. */
static void inherit_placed(struct ipn_sock *s, const struct ipn_ctl_connected *c, int *fds,
			   unsigned int nfds)
{
	struct inherit_record *k = s->inherit;
	bool cloexec = shim_real_fcntl(s->fd, F_GETFD, NULL) & FD_CLOEXEC;
	unsigned int n = 0;

	for (int i = 0; i < INHERIT_FDS && n < nfds; i++) {
		const uint32_t bit = 1u << i;
		int fd;

		if (!(c->fds & bit))
			continue;
		fd = shim_hidden_dup(fds[n], cloexec);
		if (bit == IPN_CTL_FD_TAP || bit == IPN_CTL_FD_BELL) {
			if (fd < 0) {
				shim_hide(fds[n]); /* where it is */
				fd = fds[n];
			} else {
				shim_real_close(fds[n]);
				fds[n] = fd;
			}
		}
		if (k)
			k->fds[i] = fd;
		else if (fd >= 0 && fd != fds[n])
			shim_lib_close(fd);
		n++;
	}
	if (k)
		k->connected = *c;
}

/* follow_placed: the next program of this process begins with that log. */
static void inherit_followed(struct ipn_sock *s, int fd)
{
	const int at = __builtin_ctz(IPN_CTL_FD_LOG);
	struct inherit_record *k = s->inherit;
	int flags;

	if (!k || k->fds[at] < 0)
		return;
	flags = shim_real_fcntl(k->fds[at], F_GETFD, NULL);
	if (flags >= 0)
		shim_real_dup3(fd, k->fds[at], flags & FD_CLOEXEC ? O_CLOEXEC : 0);
}

/* The kept descriptors that are not the socket's own: it has closed those. */
static void close_kept(struct inherit_record *k, bool all)
{
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] >= 0 && (all || (1 << i) & ~(IPN_CTL_FD_TAP | IPN_CTL_FD_BELL)))
			shim_lib_close(k->fds[i]);
	}
	if (all && k->control >= 0)
		shim_lib_close(k->control);
	if (all && k->life >= 0)
		shim_lib_close(k->life);
}

void shim_left(struct ipn_sock *s)
{
	struct inherit_record *k = s->inherit;

	if (!k)
		return;
	s->inherit = NULL;
	close_kept(k, false);
	pid_remove(k->readers, own_pid);
	pid_remove(k->holders, own_pid);
	if (!pid_others(k->holders, 0) && !__atomic_load_n(&k->forking, __ATOMIC_SEQ_CST))
		__atomic_store_n(&k->used, 0, __ATOMIC_SEQ_CST);
}

void shim_inherit_cloexec(struct ipn_sock *s, bool on)
{
	const struct inherit_record *k = s->inherit;

	/* another descriptor of it may stay open */
	if (!k || (on && s->entries > 1))
		return;
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] >= 0)
			shim_real_fcntl(k->fds[i], F_SETFD,
					(void *)(intptr_t)(on ? FD_CLOEXEC : 0));
	}
	if (s->control.fd >= 0)
		shim_real_fcntl(s->control.fd, F_SETFD, (void *)(intptr_t)(on ? FD_CLOEXEC : 0));
	if (s->life.fd >= 0)
		shim_real_fcntl(s->life.fd, F_SETFD, (void *)(intptr_t)(on ? FD_CLOEXEC : 0));
}

bool shim_reader(struct ipn_sock *s)
{
	struct inherit_record *k = s->inherit;

	if (!k)
		return false;
	if (!__atomic_load_n(&s->reads, __ATOMIC_RELAXED)) {
		pid_add(k->readers, own_pid);
		__atomic_store_n(&s->reads, 1, __ATOMIC_RELAXED);
	}
	return pid_others(k->readers, own_pid);
}

void shim_check_gone(struct ipn_sock *s)
{
	struct pollfd p = { .fd = s->tap, .events = 0 };
	uint32_t none = 0;

	if (sock_connected(s) && shim_real_poll(&p, 1, 0) == 1 && p.revents & POLLERR)
		__atomic_compare_exchange_n(&s->gone, &none, ECONNRESET, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

/*
 * fork
 */

static void each_socket(void (*f)(struct ipn_sock *s))
{
	for (int fd = shim_idle() ? -1 : sock_next(0); fd >= 0; fd = sock_next(fd + 1)) {
		_cleanup_sock_ struct ipn_sock *s = sock_find(fd);

		if (s && s->inherit)
			f(s);
	}
}

static void count_fork(struct ipn_sock *s)
{
	__atomic_add_fetch(&((struct inherit_record *)s->inherit)->forking, 1, __ATOMIC_SEQ_CST);
}

static void before_fork(void)
{
	each_socket(count_fork);
}

static void enter_child(struct ipn_sock *s)
{
	struct inherit_record *k = s->inherit;

	s->reads = 0;
	pid_add(k->holders, own_pid);
	__atomic_sub_fetch(&k->forking, 1, __ATOMIC_SEQ_CST);
}

static void in_child(void)
{
	own_pid = getpid();
	if (shim_idle())
		return;
	sock_forked();
	shim_epoll_forked();
	each_socket(enter_child);
}

/*
 * exec
 */

static bool same_socket(int fd, uint64_t cookie)
{
	uint64_t now;
	socklen_t len = sizeof(now);

	return !shim_real_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &now, &len) && now == cookie;
}

static int adopt(struct ipn_sock *s, struct inherit_record *k)
{
	unsigned int n = 0;
	int fds[INHERIT_FDS];

	s->family = k->family;
	s->policy = k->policy;
	s->port = k->port;
	s->params = k->params;
	s->net = k->net;
	s->shut = k->shut;
	s->inherit = k;
	sock_own_set(&s->control, k->control);
	sock_own_set(&s->life, k->life);
	s->alive = k->state != SOCK_NEW;
	memcpy(s->descr, k->descr, sizeof(s->descr));
	memcpy(s->path, k->path, sizeof(s->path));
	if (k->state == SOCK_NEW)
		return 0;
	s->path_fd = open(k->path, O_PATH | O_CLOEXEC);
	shim_hide_away(&s->path_fd);
	if (k->state == SOCK_BOUND) {
		s->state = SOCK_BOUND;
		return 0;
	}
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (!(k->connected.fds & (1u << i)))
			continue;
		if (k->fds[i] < 0)
			return -EBADF;
		fds[n++] = k->fds[i];
	}
	return join_adopt(s, &k->connected, fds, n);
}

/* A descriptor that this program was given turns out to be the socket of a record. */
static struct ipn_sock *inherit_fd(struct inherit_record *k, struct ipn_sock *s, int fd)
{
	int flags;

	if (s) {
		shim_dup_entry(s, fd);
		return s;
	}
	flags = shim_real_fcntl(fd, F_GETFL, NULL);
	if (sock_add(fd, k->policy, flags & O_NONBLOCK))
		return NULL;
	s = sock_find(fd);
	if (s && adopt(s, k)) {
		sock_remove(fd, s);
		sock_put(s);
		return NULL;
	}
	return s;
}

/* Was this program given a descriptor of it? If not, what was kept of it is closed. */
static bool was_given(struct inherit_record *k)
{
	struct dirent *entry;
	bool given = false;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && !given && (entry = readdir(dir)))
		given = entry->d_name[0] != '.' && same_socket(atoi(entry->d_name), k->cookie);
	if (dir)
		closedir(dir);
	if (given)
		return true;
	close_kept(k, true);
	pid_remove(k->readers, own_pid);
	pid_remove(k->holders, own_pid);
	return false;
}

/* The socket of a record becomes one of this program. */
static void inherit(struct inherit_record *k)
{
	struct ipn_sock *s = NULL;
	struct dirent *entry;
	DIR *dir;

	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] >= 0)
			shim_hide(k->fds[i]);
	}
	shim_hide(k->control);
	shim_hide(k->life);
	dir = opendir("/proc/self/fd");
	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && same_socket(fd, k->cookie))
			s = inherit_fd(k, s, fd);
	}
	if (dir)
		closedir(dir);
	if (s) {
		sock_put(s);
		return;
	}
	close_kept(k, true);
	pid_remove(k->readers, own_pid);
	pid_remove(k->holders, own_pid);
}

static struct inherit_file *map_file(int fd)
{
	struct inherit_file *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return f == MAP_FAILED ? NULL : f;
}

static bool is_ours(const struct inherit_record *k)
{
	return __atomic_load_n(&k->used, __ATOMIC_SEQ_CST) && pid_in(k->holders, own_pid);
}

/* The file that the environment names; NULL: there is none, or it is something else. */
static struct inherit_file *inherited_file(int *fd)
{
	const char *number = secure_getenv(INHERIT_ENV);
	struct inherit_file *f;
	struct stat st;

	*fd = number ? atoi(number) : -1;
	if (*fd < 3 || fstat(*fd, &st) || !S_ISREG(st.st_mode) || st.st_size != sizeof(*f))
		return NULL;
	f = map_file(*fd);
	if (f && f->magic != INHERIT_MAGIC) {
		munmap(f, sizeof(*f));
		return NULL;
	}
	return f;
}

/* A program that was given no socket goes on as if there had not been any. */
static void inherit_all(void)
{
	int fd, ours = 0;
	struct inherit_file *f = inherited_file(&fd);
	bool given[INHERIT_RECORDS];

	for (int i = 0; f && i < INHERIT_RECORDS; i++)
		ours += is_ours(&f->record[i]);
	if (!ours) {
		if (f) {
			munmap(f, sizeof(*f));
			shim_real_close(fd);
		}
		return;
	}
	file = f;
	shim_hide(fd);
	shim_start();
	/* numbers that were closed over exec() are not to be taken before all are looked at */
	for (int i = 0; i < INHERIT_RECORDS; i++)
		given[i] = is_ours(&file->record[i]) && was_given(&file->record[i]);
	for (int i = 0; i < INHERIT_RECORDS; i++)
		if (given[i])
			inherit(&file->record[i]);
}

void shim_inherit_start(void)
{
	_cleanup_close_ int low = -1;
	char number[16];
	int fd;

	join_placed = inherit_placed;
	follow_placed = inherit_followed;
	if (file)
		return;
	low = memfd_create("ipn-fabric-shim", MFD_CLOEXEC);
	if (low < 0 || ftruncate(low, sizeof(*file)))
		return;
	fd = shim_hidden_dup(low, false);
	if (fd < 0)
		return;
	file = map_file(fd);
	if (!file) {
		shim_lib_close(fd);
		return;
	}
	file->magic = INHERIT_MAGIC;
	snprintf(number, sizeof(number), "%d", fd);
	setenv(INHERIT_ENV, number, 1);
}

__attribute__((constructor)) static void begin(void)
{
	own_pid = getpid();
	pthread_atfork(before_fork, NULL, in_child);
	inherit_all();
}
