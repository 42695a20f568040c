// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager's side of the fdstore (fdstore.c), which holds the sockets of sock ports and
 * listeners.
 *
 * What is to be stored, the ports and listeners themselves say (sock_stored, listener_stored): here
 * stands only which slots may have changed since the fdstore heard of them. Whoever changes
 * something touches its slot; as soon as there is room a slot is told as it then is. So nothing
 * waits, nothing piles up, and a new fdstore is told everything by touching all.
 *
 * The fdstore is there while there is a listener. It is started (fork and exec of this program, so
 * that none of our threads, locks and maps come along) with the first one, and killed with the
 * last.
 *
 * At start (fdstore_take): all that the fdstore has is received. Ports and listeners that stand in
 * the maps take their part (fdstore_find), and the rest is ended and deleted (fdstore_rest).
 */
#include "core.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define FOREVER (~0ULL)
#define TAKE_MS 3000     /* an fdstore that does not answer within is none */
#define SLOW_US 5000000  /* that reads nothing for so long is killed */
#define AGAIN_US 2000000 /* until the next one, if the last one lived no longer */
#define END_MS 2000
#define WORDS (FDSTORE_SLOTS / 64)

struct fdstore {
	int fd; /* connection; -1: none */
	int pidfd;
	sd_event_source *source, *timer;
	bool begun;   /* an fdstore is started when there is something to keep */
	bool waiting; /* until the timer: for room, or for the next try */
	__u64 changed[WORDS];
	__u64 started; /* us */
	__u64 alone;   /* ms: how long there was no manager before us */
	struct fdstore_entry *found;
	size_t nfound;
};

static void work(struct manager *m);

static __u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000000 + (__u64)t.tv_nsec / 1000;
}

static struct fdstore *fdstore_get(struct manager *m)
{
	if (m->fdstore)
		return m->fdstore;
	m->fdstore = calloc(1, sizeof(*m->fdstore));
	if (m->fdstore) {
		m->fdstore->fd = m->fdstore->pidfd = -1;
		m->fdstore->alone = FOREVER;
	}
	return m->fdstore;
}

static void socket_name(struct manager *m, struct sockaddr_un *addr)
{
	addr->sun_family = AF_UNIX;
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/" FDSTORE_SOCKET,
		 m->run_fd);
}

/* Lets go of the fdstore, if there is one, and sees to it that it ends. */
static void fdstore_drop(struct fdstore *k)
{
	k->source = sd_event_source_disable_unref(k->source);
	util_close_fd(&k->fd);
	if (k->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, k->pidfd, SIGKILL, NULL, 0);
	util_close_fd(&k->pidfd);
	k->fd = k->pidfd = -1;
}

/* --- at start ----------------------------------------------------------------------------------*/

static int fdstore_connect(struct manager *m, struct fdstore *k)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { 0 };
	struct ucred peer;
	socklen_t len = sizeof(peer);

	socket_name(m, &addr);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	if (peer.uid != geteuid())
		return -EPERM;
	/* -1: it is out of sight, in another pid namespace */
	k->pidfd = peer.pid > 0 ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : -1;
	k->fd = util_take_fd(&fd);
	return 0;
}

static int found_add(struct fdstore *k, const struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct fdstore_entry *more = realloc(k->found, (k->nfound + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	k->found = more;
	more += k->nfound++;
	more->msg = *msg;
	more->taken = false;
	for (int i = 0; i < FDSTORE_FDS; i++)
		more->fds[i] = util_take_fd(&fds[i]);
	return 0;
}

static int found_all(struct fdstore *k)
{
	struct fdstore_msg msg = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .op = FDSTORE_LIST };
	struct pollfd p = { .fd = k->fd, .events = POLLIN };
	__u64 now = now_us() / 1000, end = now + TAKE_MS;
	int fds[FDSTORE_FDS], r = fdstore_send(k->fd, &msg, NULL);

	while (!r) {
		if (poll(&p, 1, now < end ? (int)(end - now) : 0) == 0)
			return -ETIMEDOUT;
		now = now_us() / 1000;
		r = fdstore_recv(k->fd, &msg, fds);
		if (!r && msg.op == FDSTORE_END) {
			k->alone = msg.alone;
			return 0;
		}
		/* what comes back belongs to no port: like what no port takes */
		if (!r && (msg.op == FDSTORE_ENTRY || msg.op == FDSTORE_BACK))
			r = found_add(k, &msg, fds);
		for (int i = 0; i < FDSTORE_FDS; i++)
			util_close_fd(&fds[i]); /* the fdstore has them still */
		if (r == -EAGAIN)
			r = 0;
	}
	return r;
}

void fdstore_take(struct manager *m)
{
	struct fdstore *k = fdstore_get(m);
	int r = k ? fdstore_connect(m, k) : -ENOMEM;

	if (r == -ENOENT || r == -ECONNREFUSED)
		return; /* there is none */
	if (!r)
		r = found_all(k);
	if (!r)
		return;
	log_err("the fdstore: %s; another one is started", strerror(-r));
	if (k)
		fdstore_drop(k);
}

struct fdstore_entry *fdstore_find(struct manager *m, __u32 slot, __u32 gen)
{
	struct fdstore *k = m->fdstore;

	for (size_t i = 0; k && i < k->nfound; i++) {
		struct fdstore_entry *e = &k->found[i];

		if (e->msg.slot == slot && e->msg.gen == gen && e->msg.op == FDSTORE_ENTRY &&
		    e->msg.fabric == m->bpf->abi.group)
			return e;
	}
	return NULL;
}

__u64 fdstore_alone(struct manager *m)
{
	return m->fdstore ? m->fdstore->alone : FOREVER;
}

static void found_end(struct manager *m, struct fdstore_entry *e)
{
	__u32 node = e->msg.slot;

	/* who is at that place by now put its own socket there */
	if (node < IPN_MAX_NODES && !m->node_by_id[node])
		bpf_map_delete_elem(m->bpf->fd_socks, &node);
	for (int i = 0; i < FDSTORE_FDS; i++) {
		if (e->fds[i] < 0)
			continue;
		if (node < IPN_MAX_NODES)
			shutdown(e->fds[i], SHUT_RDWR);
		stranger_close(m, &e->fds[i]);
	}
	fdstore_touch(m, e->msg.slot);
}

void fdstore_rest(struct manager *m)
{
	struct fdstore *k = m->fdstore;

	if (!k)
		return;
	for (size_t i = 0; i < k->nfound; i++)
		if (!k->found[i].taken)
			found_end(m, &k->found[i]);
	free(k->found);
	k->found = NULL;
	k->nfound = 0;
}

/* --- the process -------------------------------------------------------------------------------*/

static int on_ended(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	siginfo_t info;

	(void)events;
	(void)arg;
	waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	sd_event_source_set_floating(source, false); /* that was all that held it */
	return 0;
}

/* Whoever it ends by, it leaves no zombie. */
static int reap_later(struct manager *m, int pidfd)
{
	sd_event_source *source;
	int fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(m->event, &source, fd, EPOLLIN, on_ended, NULL);
	if (r < 0) {
		close(fd);
		return r;
	}
	sd_event_source_set_io_fd_own(source, true);
	sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return 0;
}

static int listen_make(struct manager *m)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { 0 };
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	socket_name(m, &addr);
	unlinkat(m->run_fd, FDSTORE_SOCKET, 0);
	mask = umask(0177);
	r = bind(fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	return r ? r : util_take_fd(&fd);
}

/* The child's descriptors, whatever numbers they have here. */
static int spawn(struct manager *m, int listen_fd, int conn, pid_t *pid)
{
	char inode[32];
	char *const argv[] = { (char *)FDSTORE_NAME, (char *)m->opts.run_dir, inode, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	struct stat st;
	int r;

	if (fstatat(m->run_fd, FDSTORE_SOCKET, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	snprintf(inode, sizeof(inode), "%llu", (unsigned long long)st.st_ino);
	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		posix_spawn_file_actions_destroy(&files);
		return -r;
	}
	for (int fd = 0; !r && fd < 3; fd++)
		r = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, listen_fd, FDSTORE_FD_LISTEN);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, conn, FDSTORE_FD_MANAGER);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* A number that none of the child's fixed ones overwrites. */
static int fd_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FDSTORE_FD_END);

	return high < 0 ? -errno : high;
}

static int fdstore_start(struct manager *m, struct fdstore *k)
{
	_cleanup_close_ int listen_fd = -1, listen_high = -1, theirs = -1, ours = -1;
	int pair[2], r;
	pid_t pid;

	k->started = now_us();
	listen_fd = listen_make(m);
	if (listen_fd < 0)
		return listen_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	ours = pair[0];
	theirs = fd_high(pair[1]);
	close(pair[1]);
	listen_high = fd_high(listen_fd);
	if (theirs < 0 || listen_high < 0)
		return theirs < 0 ? theirs : listen_high;
	r = spawn(m, listen_high, theirs, &pid);
	if (r)
		return r;
	k->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (k->pidfd >= 0)
		reap_later(m, k->pidfd);
	k->fd = util_take_fd(&ours);
	return 0;
}

/* --- while it runs -----------------------------------------------------------------------------*/

static void touch_all(struct manager *m)
{
	memset(m->fdstore->changed, 0, sizeof(m->fdstore->changed));
	for (__u32 slot = 0; slot < FDSTORE_SLOTS; slot++) {
		bool there = slot < IPN_MAX_NODES ? m->node_by_id[slot] != NULL
						  : listener_there(m, slot - IPN_MAX_NODES);

		m->fdstore->changed[slot / 64] |= (__u64)there << slot % 64;
	}
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct manager *m = arg;

	(void)source;
	(void)usec;
	m->fdstore->waiting = false;
	if (m->fdstore->fd >= 0) {
		log_err("the fdstore does not read: another one is started");
		fdstore_drop(m->fdstore);
		touch_all(m);
	}
	work(m);
	return 0;
}

static void wait_for(struct manager *m, __u64 us)
{
	struct fdstore *k = m->fdstore;
	int r;

	if (k->waiting)
		return;
	r = k->timer ? sd_event_source_set_time_relative(k->timer, us)
		     : sd_event_add_time_relative(m->event, &k->timer, CLOCK_MONOTONIC, us, 0,
						  on_timer, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(k->timer, SD_EVENT_ONESHOT);
	k->waiting = r >= 0;
}

static void fdstore_lost(struct manager *m, int why)
{
	struct fdstore *k = m->fdstore;

	log_warning("the fdstore is gone (%s): another one is started", strerror(-why));
	fdstore_drop(k);
	if (k->waiting)
		sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
	k->waiting = false;
	touch_all(m);
	if (now_us() - k->started < AGAIN_US)
		wait_for(m, AGAIN_US);
	else
		work(m);
}

static int hear(struct manager *m)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], r = 0;

	for (int i = 0; !r && i < 64; i++) {
		r = fdstore_recv(m->fdstore->fd, &msg, fds);
		if (!r && msg.op == FDSTORE_REFUSED)
			log_err("the fdstore has no room for %s %u: it will end "
				"with this manager",
				msg.slot < IPN_MAX_NODES ? "node" : "listener",
				msg.slot % IPN_MAX_NODES);
		for (int n = 0; n < FDSTORE_FDS; n++)
			stranger_close(m, &fds[n]);
	}
	return r == -EAGAIN ? 0 : r;
}

static int on_fdstore(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct manager *m = arg;
	struct fdstore *k = m->fdstore;
	int r = hear(m);

	(void)source;
	(void)fd;
	if (r) {
		fdstore_lost(m, r);
		return 0;
	}
	if (events & EPOLLOUT) {
		sd_event_source_set_enabled(k->timer, SD_EVENT_OFF);
		k->waiting = false;
		sd_event_source_set_io_events(k->source, EPOLLIN);
		work(m);
	}
	return 0;
}

static int tell(struct manager *m, __u32 slot)
{
	struct fdstore_msg msg = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .fabric = m->bpf->abi.group,
				   .slot = slot,
				   .listener = FDSTORE_NO_LISTENER };
	int fds[FDSTORE_FDS];
	bool there = slot < IPN_MAX_NODES ? sock_stored(m, slot, &msg, fds)
					  : listener_stored(m, slot - IPN_MAX_NODES, &msg, fds);

	msg.op = there ? FDSTORE_PUT : FDSTORE_DEL;
	return fdstore_send(m->fdstore->fd, &msg, fds);
}

/* All that has changed, as far as there is room. */
static int tell_all(struct manager *m)
{
	struct fdstore *k = m->fdstore;

	for (__u32 word = 0; word < WORDS; word++) {
		while (k->changed[word]) {
			__u32 bit = (__u32)__builtin_ctzll(k->changed[word]);
			int r = tell(m, word * 64 + bit);

			if (r)
				return r;
			k->changed[word] &= ~(1ULL << bit);
		}
	}
	return 0;
}

static void work(struct manager *m)
{
	struct fdstore *k = m->fdstore;
	int r = 0;

	if (!k->begun || k->waiting)
		return;
	if (!m->listeners) {
		if (k->fd >= 0)
			unlinkat(m->run_fd, FDSTORE_SOCKET, 0);
		fdstore_drop(k);
		memset(k->changed, 0, sizeof(k->changed));
		return;
	}
	if (k->fd < 0) {
		r = fdstore_start(m, k);
		if (!r)
			touch_all(m);
	}
	if (!r && !k->source)
		r = sd_event_add_io(m->event, &k->source, k->fd, EPOLLIN, on_fdstore, m);
	if (r < 0) {
		log_err("cannot start the fdstore: %s; without one, their ports end "
			"with this manager",
			strerror(-r));
		fdstore_drop(k);
		wait_for(m, AGAIN_US);
		return;
	}
	r = tell_all(m);
	if (r == -EAGAIN) {
		sd_event_source_set_io_events(k->source, EPOLLIN | EPOLLOUT);
		wait_for(m, SLOW_US);
	} else if (r) {
		fdstore_lost(m, r);
	}
}

void fdstore_begin(struct manager *m)
{
	struct fdstore *k = fdstore_get(m);

	if (!k)
		return;
	k->begun = true;
	work(m);
}

void fdstore_touch(struct manager *m, __u32 slot)
{
	struct fdstore *k = m->fdstore;

	if (!k || slot >= FDSTORE_SLOTS)
		return; /* fdstore_begin touches all; there is no such listener */
	k->changed[slot / 64] |= 1ULL << slot % 64;
	work(m);
}

void fdstore_end(struct manager *m)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };
	struct fdstore *k = fdstore_get(m);

	if (!k || m->run_fd < 0)
		return;
	k->begun = false;
	if (k->fd < 0)
		fdstore_connect(m, k);
	if (k->pidfd >= 0)
		p.fd = fcntl(k->pidfd, F_DUPFD_CLOEXEC, 0);
	fdstore_drop(k);
	if (p.fd >= 0 && poll(&p, 1, END_MS) == 0)
		log_warning("the fdstore does not end");
	util_close_fd(&p.fd);
	unlinkat(m->run_fd, FDSTORE_SOCKET, 0);
}

void fdstore_free(struct manager *m)
{
	struct fdstore *k = m->fdstore;

	if (!k)
		return;
	/* only let go of: it is what stays */
	sd_event_source_disable_unref(k->source);
	sd_event_source_disable_unref(k->timer);
	util_close_fd(&k->fd);
	util_close_fd(&k->pidfd);
	free(k->found); /* its descriptors go with the process */
	free(k);
	m->fdstore = NULL;
}
