// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is to be held, the ports, listeners and networks themselves say (struct fdstore_source):
 * here stands only which slots may have changed since the process heard of them. Whoever changes
 * something touches its slot; as soon as there is room a slot is told as it then is. So nothing
 * waits, nothing piles up, and a new process is told everything by touching all.
 *
 * The process is there while something is wanted. It is started (fork and exec of this program, so
 * that none of our threads, locks and maps come along) with the first network, and killed with the
 * last.
 *
 * At start (fdstore_take): all that the process has is received. What stands in the maps takes its
 * part (fdstore_find), and the rest is ended and deleted (fdstore_rest).
 */
#include "manager/fdstore/client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"

#define FOREVER (~0ULL)
#define TAKE_MS 3000     /* an fdstore that does not answer within is none */
#define SLOW_US 5000000  /* that reads nothing for so long is killed */
#define AGAIN_US 2000000 /* until the next one, if the last one lived no longer */
#define END_MS 2000
#define WORDS (FDSTORE_SLOTS / 64)

struct fdstore {
	int run_fd;
	const char *run_dir;
	__u32 fabric;
	sd_event *event; /* NULL until fdstore_begin */
	struct async_close *closing;
	struct fdstore_source what;
	int fd; /* connection; -1: none */
	int pidfd;
	sd_event_source *source, *timer;
	bool waiting; /* until the timer: for room, or for the next try */
	__u64 changed[WORDS];
	__u64 started; /* us */
	__u64 alone;   /* ms: how long there was no manager before us */
	struct fdstore_entry *found;
	size_t nfound;
};

static void work(struct fdstore *fs);

static void socket_name(struct fdstore *fs, struct sockaddr_un *addr)
{
	addr->sun_family = AF_UNIX;
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/" FDSTORE_SOCKET,
		 fs->run_fd);
}

/* Lets go of the fdstore, if there is one, and sees to it that it ends. */
static void fdstore_drop(struct fdstore *fs)
{
	fs->source = sd_event_source_disable_unref(fs->source);
	util_close_fd(&fs->fd);
	if (fs->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, fs->pidfd, SIGKILL, NULL, 0);
	util_close_fd(&fs->pidfd);
	fs->fd = fs->pidfd = -1;
}

/* --- at start ----------------------------------------------------------------------------------*/

/* seccomp: manager: socket connect getsockopt poll pidfd_open pidfd_send_signal */
static int fdstore_connect(struct fdstore *fs)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { 0 };
	struct ucred peer;
	socklen_t len = sizeof(peer);

	socket_name(fs, &addr);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	if (peer.uid != geteuid())
		return -EPERM;
	/* -1: it is out of sight, in another pid namespace */
	fs->pidfd = peer.pid > 0 ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : -1;
	fs->fd = util_take_fd(&fd);
	return 0;
}

static int found_add(struct fdstore *fs, const struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct fdstore_entry *more = realloc(fs->found, (fs->nfound + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	fs->found = more;
	more += fs->nfound++;
	more->msg = *msg;
	more->taken = false;
	for (int i = 0; i < FDSTORE_FDS; i++)
		more->fds[i] = util_take_fd(&fds[i]);
	return 0;
}

static int found_all(struct fdstore *fs)
{
	struct fdstore_msg msg = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .op = FDSTORE_LIST };
	struct pollfd p = { .fd = fs->fd, .events = POLLIN };
	__u64 now = clock_us() / 1000, end = now + TAKE_MS;
	int fds[FDSTORE_FDS], r = fdstore_send(fs->fd, &msg, NULL);

	while (!r) {
		if (poll(&p, 1, now < end ? (int)(end - now) : 0) == 0)
			return -ETIMEDOUT;
		now = clock_us() / 1000;
		r = fdstore_recv(fs->fd, &msg, fds);
		if (!r && msg.op == FDSTORE_END) {
			fs->alone = msg.alone;
			fdstore_close(fds);
			return 0;
		}
		/* what comes back belongs to no port: like what no port takes */
		if (!r && (msg.op == FDSTORE_ENTRY || msg.op == FDSTORE_BACK))
			r = found_add(fs, &msg, fds);
		for (int i = 0; i < FDSTORE_FDS; i++)
			util_close_fd(&fds[i]); /* the fdstore has them still */
		if (r == -EAGAIN)
			r = 0;
	}
	return r;
}

int fdstore_take(struct fdstore *fs)
{
	int r = fdstore_connect(fs);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return 0; /* there is none */
	if (!r)
		r = found_all(fs);
	if (!r || util_cannot_tell(r))
		return r;
	log_err("the fdstore: %s; another one is started", strerror(-r));
	fdstore_drop(fs);
	return 0;
}

struct fdstore_entry *fdstore_find(struct fdstore *fs, __u32 slot, __u32 gen)
{
	for (size_t i = 0; i < fs->nfound; i++) {
		struct fdstore_entry *e = &fs->found[i];

		if (e->msg.slot == slot && e->msg.gen == gen && e->msg.op == FDSTORE_ENTRY &&
		    e->msg.fabric == fs->fabric)
			return e;
	}
	return NULL;
}

__u64 fdstore_alone(const struct fdstore *fs)
{
	return fs->alone;
}

void fdstore_rest(struct fdstore *fs, void (*end)(void *arg, struct fdstore_entry *e), void *arg)
{
	for (size_t i = 0; i < fs->nfound; i++) {
		if (fs->found[i].taken)
			continue;
		end(arg, &fs->found[i]);
		fdstore_touch(fs, fs->found[i].msg.slot);
	}
	free(fs->found);
	fs->found = NULL;
	fs->nfound = 0;
}

/* --- the process -------------------------------------------------------------------------------*/

/* seccomp: manager: waitid wait4 */
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
static int reap_later(struct fdstore *fs, int pidfd)
{
	sd_event_source *source;
	int fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(fs->event, &source, fd, EPOLLIN, on_ended, NULL);
	if (r < 0) {
		close(fd);
		return r;
	}
	sd_event_source_set_io_fd_own(source, true);
	sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	return 0;
}

static int listen_make(struct fdstore *fs)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { 0 };
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	socket_name(fs, &addr);
	unlinkat(fs->run_fd, FDSTORE_SOCKET, 0);
	mask = umask(0177);
	r = bind(fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	return r ? r : util_take_fd(&fd);
}

/* seccomp: manager: clone clone3 vfork execve setsid dup2 dup3 close openat socketpair */
/* The child's descriptors, whatever numbers they have here. */
static int spawn(struct fdstore *fs, int listen_fd, int conn, pid_t *pid)
{
	char inode[32];
	char *const argv[] = { (char *)FDSTORE_NAME, (char *)fs->run_dir, inode, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	struct stat st;
	int r;

	if (fstatat(fs->run_fd, FDSTORE_SOCKET, &st, AT_SYMLINK_NOFOLLOW))
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

static int fdstore_start(struct fdstore *fs)
{
	_cleanup_close_ int listen_fd = -1, listen_high = -1, theirs = -1, ours = -1;
	int pair[2], r;
	pid_t pid;

	fs->started = clock_us();
	listen_fd = listen_make(fs);
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
	r = spawn(fs, listen_high, theirs, &pid);
	if (r)
		return r;
	fs->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fs->pidfd >= 0)
		reap_later(fs, fs->pidfd);
	fs->fd = util_take_fd(&ours);
	return 0;
}

/* --- while it runs -----------------------------------------------------------------------------*/

static void touch_all(struct fdstore *fs)
{
	memset(fs->changed, 0, sizeof(fs->changed));
	for (__u32 slot = 0; slot < FDSTORE_SLOTS; slot++)
		fs->changed[slot / 64] |= (__u64)fs->what.there(fs->what.arg, slot) << slot % 64;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
	struct fdstore *fs = arg;

	(void)source;
	(void)usec;
	fs->waiting = false;
	if (fs->fd >= 0) {
		log_err("the fdstore does not read: another one is started");
		fdstore_drop(fs);
		touch_all(fs);
	}
	work(fs);
	return 0;
}

static void wait_for(struct fdstore *fs, __u64 us)
{
	int r;

	if (fs->waiting)
		return;
	r = fs->timer ? sd_event_source_set_time_relative(fs->timer, us)
		      : sd_event_add_time_relative(fs->event, &fs->timer, CLOCK_MONOTONIC, us, 0,
						   on_timer, fs);
	if (r >= 0)
		r = sd_event_source_set_enabled(fs->timer, SD_EVENT_ONESHOT);
	fs->waiting = r >= 0;
}

static void fdstore_lost(struct fdstore *fs, int why)
{
	log_warning("the fdstore is gone (%s): another one is started", strerror(-why));
	fdstore_drop(fs);
	if (fs->waiting)
		sd_event_source_set_enabled(fs->timer, SD_EVENT_OFF);
	fs->waiting = false;
	touch_all(fs);
	if (clock_us() - fs->started < AGAIN_US)
		wait_for(fs, AGAIN_US);
	else
		work(fs);
}

static int hear(struct fdstore *fs)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], r = 0;

	for (int i = 0; !r && i < 64; i++) {
		r = fdstore_recv(fs->fd, &msg, fds);
		if (!r && msg.op == FDSTORE_REFUSED)
			log_err("the fdstore has no room for %s %u: it will end "
				"with this manager",
				msg.slot < FDSTORE_LISTENER(0)   ? "node"
				: msg.slot < FDSTORE_NET(0)      ? "listener"
				: msg.slot < FDSTORE_LIFELINE(0) ? "network"
								 : "the lifeline of a socket",
				msg.slot % IPN_MAX_NODES);
		for (int n = 0; n < FDSTORE_FDS; n++)
			stranger_close(fs->closing, &fds[n]);
	}
	return r == -EAGAIN ? 0 : r;
}

static int on_fdstore(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct fdstore *fs = arg;
	int r = hear(fs);

	(void)source;
	(void)fd;
	if (r) {
		fdstore_lost(fs, r);
		return 0;
	}
	if (events & EPOLLOUT) {
		sd_event_source_set_enabled(fs->timer, SD_EVENT_OFF);
		fs->waiting = false;
		sd_event_source_set_io_events(fs->source, EPOLLIN);
		work(fs);
	}
	return 0;
}

static int tell(struct fdstore *fs, __u32 slot)
{
	struct fdstore_msg msg = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .fabric = fs->fabric,
				   .slot = slot,
				   .listener = FDSTORE_NO_LISTENER };
	int fds[FDSTORE_FDS];
	bool there = fs->what.describe(fs->what.arg, slot, &msg, fds);

	msg.op = there ? FDSTORE_PUT : FDSTORE_DEL;
	return fdstore_send(fs->fd, &msg, fds);
}

/* All that has changed, as far as there is room. */
static int tell_all(struct fdstore *fs)
{
	for (__u32 word = 0; word < WORDS; word++) {
		while (fs->changed[word]) {
			__u32 bit = (__u32)__builtin_ctzll(fs->changed[word]);
			int r = tell(fs, word * 64 + bit);

			if (r)
				return r;
			fs->changed[word] &= ~(1ULL << bit);
		}
	}
	return 0;
}

static void work(struct fdstore *fs)
{
	int r = 0;

	if (!fs->event || fs->waiting)
		return;
	if (!fs->what.wanted(fs->what.arg)) {
		if (fs->fd >= 0)
			unlinkat(fs->run_fd, FDSTORE_SOCKET, 0);
		fdstore_drop(fs);
		memset(fs->changed, 0, sizeof(fs->changed));
		return;
	}
	if (fs->fd < 0) {
		r = fdstore_start(fs);
		if (!r)
			touch_all(fs);
	}
	if (!r && !fs->source)
		r = sd_event_add_io(fs->event, &fs->source, fs->fd, EPOLLIN, on_fdstore, fs);
	if (r < 0) {
		log_err("cannot start the fdstore: %s; without one, ports of sockets end "
			"with this manager",
			strerror(-r));
		fdstore_drop(fs);
		wait_for(fs, AGAIN_US);
		return;
	}
	r = tell_all(fs);
	if (r == -EAGAIN) {
		sd_event_source_set_io_events(fs->source, EPOLLIN | EPOLLOUT);
		wait_for(fs, SLOW_US);
	} else if (r) {
		fdstore_lost(fs, r);
	}
}

void fdstore_begin(struct fdstore *fs, sd_event *event, struct async_close *closing,
		   const struct fdstore_source *source)
{
	fs->event = event;
	fs->closing = closing;
	fs->what = *source;
	work(fs);
}

void fdstore_touch(struct fdstore *fs, __u32 slot)
{
	if (slot >= FDSTORE_SLOTS)
		return; /* there is no such listener */
	fs->changed[slot / 64] |= 1ULL << slot % 64;
	work(fs);
}

void fdstore_end(struct fdstore *fs)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };

	fs->event = NULL;
	if (fs->fd < 0)
		fdstore_connect(fs);
	if (fs->pidfd >= 0)
		p.fd = fcntl(fs->pidfd, F_DUPFD_CLOEXEC, 0);
	fdstore_drop(fs);
	if (p.fd >= 0 && poll(&p, 1, END_MS) == 0)
		log_warning("the fdstore does not end");
	util_close_fd(&p.fd);
	unlinkat(fs->run_fd, FDSTORE_SOCKET, 0);
}

int fdstore_new(struct fdstore **out, int run_fd, const char *run_dir, __u32 fabric)
{
	struct fdstore *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	fs->run_fd = run_fd;
	fs->run_dir = run_dir;
	fs->fabric = fabric;
	fs->fd = fs->pidfd = -1;
	fs->alone = FOREVER;
	*out = fs;
	return 0;
}

/* What it had no room for yet, so that the next manager finds it. */
static void tell_rest(struct fdstore *fs)
{
	struct pollfd p = { .fd = fs->fd, .events = POLLOUT };
	__u64 now = clock_us() / 1000, end = now + END_MS;

	while (tell_all(fs) == -EAGAIN && now < end && poll(&p, 1, (int)(end - now)) > 0)
		now = clock_us() / 1000;
}

void fdstore_free(struct fdstore *fs)
{
	if (!fs)
		return;
	if (fs->event && fs->fd >= 0)
		tell_rest(fs);
	/* only let go of: it is what stays */
	sd_event_source_disable_unref(fs->source);
	sd_event_source_disable_unref(fs->timer);
	util_close_fd(&fs->fd);
	util_close_fd(&fs->pidfd);
	free(fs->found); /* its descriptors go with the process */
	free(fs);
}
