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

#include "lib/join.h"
#include "lib/share.h"
#include "preload/shim.h"

#define INHERIT_ENV "IPN_FABRIC_SHIM"
#define INHERIT_MAGIC 0x49504e4b45455031ULL
#define INHERIT_RECORDS 256
#define INHERIT_PROCESSES 16
#define INHERIT_FDS 5 /* IPN_CTL_FD_* */

struct inherit_record {
	uint32_t used; /* 0: never; else counts up with each use, of any record */
	int32_t holders[INHERIT_PROCESSES];

	/* for the next program */
	uint64_t cookie;
	uint64_t key; /* of its page, see share.c */
	uint32_t state, shut;
	int32_t family, policy, port;
	int32_t fds[INHERIT_FDS]; /* by the bits IPN_CTL_FD_*; -1: none */
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
		pid_add(k->holders, own_pid);
		return k;
	}
}

void shim_inherit(struct ipn_sock *s)
{
	struct inherit_record *k;

	pthread_mutex_lock(&s->lock);
	shim_hide_away(&s->path_fd);
	if (file && !s->inherit)
		s->inherit = record_new();
	k = s->inherit;
	if (k) {
		k->cookie = s->cookie;
		k->key = s->rx.page ? s->rx.page->key : 0;
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

/* The kept descriptors that are not the socket's own: it has closed those. */
static void close_kept(struct inherit_record *k)
{
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] >= 0 && (1 << i) & ~(IPN_CTL_FD_TAP | IPN_CTL_FD_BELL))
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

static bool kept_by(const struct inherit_record *k, int fd)
{
	for (int i = 0; i < INHERIT_FDS; i++) {
		if (k->fds[i] == fd)
			return true;
	}
	return false;
}

/* A socket that this program was not given, of a process that had it: what was kept for it. */
static void disinherit(struct inherit_record *k, struct ipn_sock *const *socks)
{
	for (int i = 0; i < INHERIT_FDS; i++) {
		bool other = k->fds[i] < 0;

		for (int n = 0; n < INHERIT_RECORDS && !other; n++)
			other = socks[n] && kept_by(&file->record[n], k->fds[i]);
		if (!other)
			shim_lib_close(k->fds[i]);
	}
	share_drop(k->key);
	pid_remove(k->holders, own_pid);
}

static void inherit(struct inherit_record *k, struct ipn_sock **s, int fd)
{
	if (!*s) {
		shim_start();
		for (int i = 0; i < INHERIT_FDS; i++) {
			if (k->fds[i] >= 0)
				shim_hide(k->fds[i]);
		}
		pid_add(k->holders, own_pid);
	}
	*s = inherit_fd(k, *s, fd);
}

/* All descriptors that are sockets of records. How many records. */
static int inherit_fds(struct ipn_sock **socks)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		struct inherit_record *k = entry->d_name[0] == '.' ? NULL : record_of(fd);

		if (!k)
			continue;
		n += !socks[k - file->record];
		inherit(k, &socks[k - file->record], fd);
	}
	if (dir)
		closedir(dir);
	return n;
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

/* A program that was given no socket goes on as if there had not been any. */
static void inherit_all(void)
{
	struct ipn_sock *socks[INHERIT_RECORDS] = { NULL };
	int fd;

	file = inherited_file(&fd);
	if (!file)
		return;
	share_file = fd;
	if (!inherit_fds(socks)) {
		munmap(file, sizeof(*file));
		file = NULL;
		share_file = -1;
		shim_real_close(fd);
		return;
	}
	shim_hide(fd);
	for (int i = 0; i < INHERIT_RECORDS; i++) {
		struct inherit_record *k = &file->record[i];

		if (socks[i])
			sock_put(socks[i]);
		else if (k->used && (pid_in(k->holders, own_pid) || pid_in(k->holders, getppid())))
			disinherit(k, socks);
	}
}

void shim_inherit_start(void)
{
	_cleanup_close_ int low = -1;
	char number[16];
	int fd;

	join_placed = inherit_placed;
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
