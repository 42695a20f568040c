// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sockets over fork() and exec().
 *
 * A memory file, shared by a process and all its descendants, has a record of each IPN socket: who
 * has it, and how the next program finds it connected. The descriptors that a connected socket
 * needs besides the one the program has are kept open, at numbers out of the way, with the same
 * FD_CLOEXEC. $IPN_FABRIC_SHIM has the number of the file. How processes share a node is told in
 * lib/share.c; its locks are of this file.
 *
 * A program looks which of the descriptors it was given is the socket of a record, by the cookie:
 * a child of vfork() or posix_spawn() runs no fork handler, so nobody has entered it. Records are
 * not given back, since such a child may still be on its way; the oldest that no living process has
 * is used again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/follow.h"
#include "lib/join.h"
#include "lib/share.h"
#include "preload/shim.h"

#define INHERIT_ENV "IPN_FABRIC_SHIM"
#define INHERIT_MAGIC 0x49504e4b45455031ULL
#define INHERIT_RECORDS 256
#define INHERIT_PROCESSES 16
#define INHERIT_FDS 6 /* IPN_CTL_FD_*; these the socket has and closes itself: */
#define INHERIT_OWN (IPN_CTL_FD_TAP | IPN_CTL_FD_BELL | IPN_CTL_FD_ROOM)
#define INHERIT_KEPT (INHERIT_FDS + 2)

struct inherit_record {
	uint32_t used; /* 0: never; else counts up with each use, of any record */
	int32_t holders[INHERIT_PROCESSES];

	/* for the next program */
	uint64_t cookie;
	uint64_t key; /* of its page, see share.c */
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
	uint32_t uses;
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

static uint32_t next_use(void)
{
	return __atomic_add_fetch(&file->uses, 1, __ATOMIC_RELAXED);
}

/* A record for a new socket: the one that is of no use for longest. NULL: all are in use. */
static struct inherit_record *record_new(void)
{
	for (;;) {
		struct inherit_record *k = NULL;
		uint32_t oldest = UINT32_MAX;

		for (int i = 0; i < INHERIT_RECORDS && oldest; i++) {
			uint32_t used = __atomic_load_n(&file->record[i].used, __ATOMIC_ACQUIRE);

			if (used >= oldest || (used && pid_others(file->record[i].holders, 0)))
				continue;
			k = &file->record[i];
			oldest = used;
		}
		if (!k)
			return NULL;
		if (!__atomic_compare_exchange_n(&k->used, &oldest, next_use(), false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			continue;
		memset(&k->holders, 0, sizeof(*k) - offsetof(struct inherit_record, holders));
		memset(k->fds, -1, sizeof(k->fds));
		k->control = k->life = -1;
		pid_add(k->holders, own_pid);
		return k;
	}
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
		k->key = s->rx.page ? s->rx.page->key : 0;
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
		if (k && k->fds[i] == fds[n]) { /* inherited: where others look for it, too */
			n++;
			continue;
		}
		fd = shim_hidden_dup(fds[n], cloexec);
		if (bit & INHERIT_OWN) {
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
static void close_kept(struct inherit_record *k)
{
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] >= 0 && !((1 << i) & INHERIT_OWN))
			shim_lib_close(k->fds[i]);
	}
}

void shim_left(struct ipn_sock *s)
{
	struct inherit_record *k = s->inherit;

	if (!k)
		return;
	s->inherit = NULL;
	close_kept(k);
	pid_remove(k->holders, own_pid);
	__atomic_store_n(&k->used, next_use(), __ATOMIC_SEQ_CST);
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

static void enter_child(struct ipn_sock *s)
{
	pid_add(((struct inherit_record *)s->inherit)->holders, own_pid);
}

static void in_child(void)
{
	own_pid = getpid();
	if (shim_idle())
		return;
	shim_epoll_forked();
	each_socket(enter_child);
}

/*
 * exec
 */

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

/* The record whose socket this descriptor is. */
static struct inherit_record *record_of(int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (shim_real_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len))
		return NULL;
	for (int i = 0; i < INHERIT_RECORDS; i++) {
		if (file->record[i].used && file->record[i].cookie == cookie)
			return &file->record[i];
	}
	return NULL;
}

/* The descriptors that were kept for a record, one after the other; -1: there is none. */
static int kept(const struct inherit_record *k, int i)
{
	return i < INHERIT_FDS ? k->fds[i] : i == INHERIT_FDS ? k->control : k->life;
}

static bool kept_by(const struct inherit_record *k, int fd)
{
	for (int i = 0; i < INHERIT_KEPT; i++) {
		if (kept(k, i) == fd)
			return true;
	}
	return false;
}

/* A socket that this program was not given, of a process that had it: what was kept for it. */
static void disinherit(struct inherit_record *k, const bool *given)
{
	for (int i = 0; i < INHERIT_KEPT; i++) {
		bool other = kept(k, i) < 0;

		for (int n = 0; n < INHERIT_RECORDS && !other; n++)
			other = given[n] && kept_by(&file->record[n], kept(k, i));
		if (!other)
			shim_lib_close(kept(k, i));
	}
	share_drop(k->key);
	pid_remove(k->holders, own_pid);
}

/* Calls f for all descriptors that are sockets of records, with the record's number. */
static void each_given(void (*f)(int record, int fd, void *arg), void *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		struct inherit_record *k = entry->d_name[0] == '.' ? NULL : record_of(fd);

		if (k)
			f((int)(k - file->record), fd, arg);
	}
	if (dir)
		closedir(dir);
}

static void note_given(int record, int fd, void *arg)
{
	bool *given = arg;

	(void)fd;
	given[record] = true;
}

/* arg: the sockets of the records, as far as they are made. */
static void inherit(int record, int fd, void *arg)
{
	struct ipn_sock **s = (struct ipn_sock **)arg + record;
	struct inherit_record *k = &file->record[record];

	if (!*s) {
		for (int i = 0; i < INHERIT_KEPT; i++)
			shim_hide(kept(k, i));
		pid_add(k->holders, own_pid);
	}
	*s = inherit_fd(k, *s, fd);
}

static struct inherit_file *map_file(int fd)
{
	struct inherit_file *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return f == MAP_FAILED ? NULL : f;
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

/* The file is of no use to this program: it goes on as if there had not been any. */
static void file_drop(int fd)
{
	munmap(file, sizeof(*file));
	file = NULL;
	share_file = -1;
	shim_real_close(fd);
}

/*
 * What was kept of other sockets is closed first, by its numbers: those of what exec() has closed
 * already must not have become something of this program's.
 */
static void inherit_all(void)
{
	struct ipn_sock *socks[INHERIT_RECORDS] = { NULL };
	bool given[INHERIT_RECORDS] = { false }, any = false;
	int fd;

	file = inherited_file(&fd);
	if (!file)
		return;
	share_file = fd;
	each_given(note_given, given);
	for (int i = 0; i < INHERIT_RECORDS; i++) {
		struct inherit_record *k = &file->record[i];

		any |= given[i];
		if (!given[i] && k->used &&
		    (pid_in(k->holders, own_pid) || pid_in(k->holders, getppid())))
			disinherit(k, given);
	}
	if (!any) {
		file_drop(fd);
		return;
	}
	shim_hide(fd);
	shim_start();
	each_given(inherit, socks);
	for (int i = 0; i < INHERIT_RECORDS; i++)
		if (socks[i])
			sock_put(socks[i]);
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
	share_file = fd;
	file->magic = INHERIT_MAGIC;
	snprintf(number, sizeof(number), "%d", fd);
	setenv(INHERIT_ENV, number, 1);
}

__attribute__((constructor)) static void begin(void)
{
	own_pid = getpid();
	pthread_atfork(NULL, NULL, in_child);
	inherit_all();
}
