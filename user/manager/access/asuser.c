// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager's side of the processes that act as users (asuser.h).
 *
 * Objects
 *	asuser_id   who: a sealed memfd with ids, groups and capabilities (asuser_proto.h), and
 *		    descriptors of the mount namespace and the root directory if these are not the
 *		    manager's. Counted; equal ones share an agent
 *	agent       one process, and the calls that are for it, oldest first. Owned by struct asuser
 *		    until the process is reaped
 *	call        one job. Owned by its agent until its result was told
 *
 * Calls of an agent are sent WINDOW at a time and answered in order. So what hangs is known: the
 * oldest. After WAIT_US the process is killed, the oldest call fails, and the others go to a new
 * process. A process that ends by itself (its user may kill it) is replaced as well, and the call
 * it was at is tried again, TRIES times. An agent without calls ends after IDLE_US.
 *
 * Bounds: AGENTS_USER processes of one account, AGENTS_ROOT of root, AGENTS_ALL of all others. A
 * process that was killed counts until it is gone: one that waits for the answer of a FUSE server,
 * which has read the question, cannot die before that server answers or ends. Who has too many gets
 * -EBUSY.
 *
 * Failure: a call that cannot be made is told so from the loop, as any other result, so whoever
 * starts one never hears of it within the start.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fdpass.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/asuser_proto.h"
#include "manager/access/perm.h"

/* seccomp: manager: memfd_create fcntl pread64 readlink getgroups getsockopt waitid wait4 poll */
/* seccomp: manager: socketpair recvmsg sendmsg vfork clone clone3 execve setsid dup2 dup3 */
/* seccomp: manager: pidfd_open pidfd_send_signal stat */

#define WAIT_US 2500000
#define IDLE_US 10000000
#define WINDOW 8
#define TRIES 2
#define AGENTS_USER 8
#define AGENTS_ROOT 64
#define AGENTS_ALL 192 /* of all but root */
#define FILE_CAPS                                                                     \
	(1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH | \
	 1ULL << CAP_FOWNER)

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

struct asuser_id {
	unsigned int refs;
	struct asuser_blob *blob; /* with the groups behind */
	size_t size;
	int fds[ASUSER_ID_FDS]; /* memfd, mount namespace, root directory */
};

struct asuser_call {
	struct agent *agent;
	struct asuser_call *next;
	struct asuser_packet packet;
	int fd;
	asuser_fn *fn;
	void *arg;
	unsigned int tries;
	__u64 number; /* of all calls */
};

/* Somebody waits for the calls from..to. */
struct after {
	struct after *next;
	__u64 from, to;
	void (*fn)(void *arg);
	void *arg;
};

struct agent {
	struct asuser *as;
	struct agent *next;
	struct asuser_id *id;
	int fd; /* -1: no process */
	int pidfd;
	pid_t pid;
	bool ready;  /* it is who it should be */
	bool dying;  /* takes no more calls, and waits for the end of its process */
	bool busy;   /* a function that uses it may be told of results, and goes on with it */
	int failed;  /* why there is no process, told to all of its calls */
	__u64 since; /* us: since when the oldest call is at work, or there is none */
	struct asuser_call *first, **last;
	unsigned int sent;
	sd_event_source *source, *timer, *ended;
};

struct asuser {
	sd_event *event; /* NULL: no loop yet */
	struct agent *agents;
	__u64 started; /* calls */
	struct after *afters;
};

static void agent_work(struct agent *a);

/* NULL: none yet, or no more, as when all is removed at the end. */
static sd_event *loop(struct asuser *as)
{
	if (as->event && sd_event_get_state(as->event) == SD_EVENT_FINISHED)
		as->event = NULL;
	return as->event;
}

/* --- identities --------------------------------------------------------------------------------*/

static void id_close(struct asuser_id *id)
{
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		util_close_fd(&id->fds[i]);
	free(id->blob);
	free(id);
}

struct asuser_id *asuser_id_ref(struct asuser_id *id)
{
	if (id)
		id->refs++;
	return id;
}

void asuser_id_unref(struct asuser_id *id)
{
	if (id && !--id->refs)
		id_close(id);
}

static struct asuser_id *id_new(unsigned int ngroups)
{
	struct asuser_id *id = calloc(1, sizeof(*id));

	if (!id)
		return NULL;
	id->refs = 1;
	id->size = sizeof(*id->blob) + ngroups * sizeof(gid_t);
	id->blob = calloc(1, id->size);
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		id->fds[i] = -1;
	if (!id->blob) {
		free(id);
		return NULL;
	}
	id->blob->ngroups = ngroups;
	return id;
}

/* The memfd, when all of the blob is there. */
static int id_seal(struct asuser_id *id)
{
	int fd = memfd_create(ASUSER_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	id->fds[0] = fd;
	if (write(fd, id->blob, id->size) != (ssize_t)id->size)
		return -EIO;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static int id_done(struct asuser_id *id, int r, struct asuser_id **out)
{
	if (!r)
		r = id_seal(id);
	if (r)
		id_close(id);
	else
		*out = id;
	return r;
}

/* The process's mount namespace and root directory, where they are not ours. */
static int id_place(struct asuser_id *id, pid_t pid)
{
	static __u64 alone;
	char path[48], own[sizeof(id->blob->root)];
	struct asuser_blob *b = id->blob;
	struct stat ours, theirs;
	ssize_t n, m;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	id->fds[1] = open(path, O_RDONLY | O_CLOEXEC);
	if (id->fds[1] < 0 || fstat(id->fds[1], &theirs) || stat("/proc/self/ns/mnt", &ours))
		return errno == ENOENT ? -ESRCH : -errno;
	b->ns_ino = theirs.st_ino;
	b->has_ns = ours.st_ino != theirs.st_ino;
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	n = readlink(path, b->root, sizeof(b->root));
	m = readlink("/proc/self/root", own, sizeof(own));
	if (n < 0 || m < 0)
		return -ESRCH;
	b->has_root = b->has_ns ? n != 1 : n != m || memcmp(b->root, own, (size_t)n) != 0;
	if (n == sizeof(b->root))
		b->alone = ++alone; /* two that begin alike */
	if (b->has_root) {
		id->fds[2] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (id->fds[2] < 0)
			return -errno;
	}
	if (!b->has_ns) {
		util_close_fd(&id->fds[1]);
		id->fds[1] = -1;
	}
	return 0;
}

static int id_peer_pidfd(int sock, pid_t pid)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);

	if (!getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return pidfd;
	if (errno != ENOPROTOOPT)
		return -errno;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

int asuser_id_of(int sock, const struct perm_peer *peer, struct asuser_id **out)
{
	_cleanup_close_ int pidfd = -1;
	struct asuser_id *id;
	int r;

	if (peer->pid <= 0)
		return -ESRCH;
	pidfd = id_peer_pidfd(sock, peer->pid);
	if (pidfd < 0)
		return -ESRCH;
	id = id_new((unsigned int)peer->ngroups);
	if (!id)
		return -ENOMEM;
	id->blob->uid = peer->uid;
	id->blob->gid = peer->gid;
	id->blob->account = peer->account;
	id->blob->caps = peer->caps & FILE_CAPS;
	if (peer->ngroups)
		memcpy(id->blob + 1, peer->groups, (size_t)peer->ngroups * sizeof(gid_t));
	r = id_place(id, peer->pid);
	/* alive still: so the pid was its own */
	if (!r && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno != EPERM)
		r = -ESRCH;
	return id_done(id, r, out);
}

int asuser_id_owner(uid_t uid, uid_t account, struct asuser_id **out)
{
	struct asuser_id *id;

	if (!uid)
		return asuser_id_self(out);
	id = id_new(0);
	if (!id)
		return -ENOMEM;
	id->blob->uid = uid;
	id->blob->account = account;
	id->blob->by_name = 1;
	return id_done(id, 0, out);
}

int asuser_id_self(struct asuser_id **out)
{
	int n = getgroups(0, NULL);
	struct asuser_id *id = n < 0 ? NULL : id_new((unsigned int)n);

	if (!id)
		return n < 0 ? -errno : -ENOMEM;
	id->blob->uid = geteuid();
	id->blob->gid = getegid();
	id->blob->account = geteuid();
	id->blob->caps = FILE_CAPS;
	return id_done(id, getgroups(n, (gid_t *)(id->blob + 1)) < 0 ? -errno : 0, out);
}

void asuser_id_fds(const struct asuser_id *id, int fds[ASUSER_ID_FDS])
{
	memcpy(fds, id->fds, sizeof(id->fds));
}

int asuser_id_from(int fds[ASUSER_ID_FDS], struct asuser_id **out)
{
	struct asuser_id *id = NULL;
	struct asuser_blob b;
	int r = -EINVAL;

	if (pread(fds[0], &b, sizeof(b), 0) == sizeof(b) && b.ngroups <= PERM_GROUPS_MAX)
		id = id_new(b.ngroups);
	if (id && pread(fds[0], id->blob, id->size, 0) == (ssize_t)id->size &&
	    b.has_ns == (fds[1] >= 0) && b.has_root == (fds[2] >= 0))
		r = 0;
	for (int i = 0; i < ASUSER_ID_FDS; i++) {
		if (!r)
			id->fds[i] = fds[i];
		else
			util_close_fd(&fds[i]);
		fds[i] = -1;
	}
	if (!r)
		*out = id;
	else if (id)
		id_close(id);
	return r;
}

static bool id_same(const struct asuser_id *a, const struct asuser_id *b)
{
	return a == b || (a->size == b->size && !memcmp(a->blob, b->blob, a->size));
}

/* --- calls -------------------------------------------------------------------------------------*/

static void call_free(struct asuser_call *call)
{
	util_close_fd(&call->fd);
	free(call);
}

static bool under_way(const struct asuser *as, __u64 from, __u64 to)
{
	for (const struct agent *a = as->agents; a; a = a->next)
		for (const struct asuser_call *call = a->first; call; call = call->next)
			if (call->number >= from && call->number < to)
				return true;
	return false;
}

/* A call has ended: tells those who waited for it and no other. */
static void afters_tell(struct asuser *as)
{
	struct after **at = &as->afters;

	while (*at) {
		struct after *after = *at;

		if (under_way(as, after->from, after->to)) {
			at = &after->next;
			continue;
		}
		*at = after->next;
		after->fn(after->arg);
		free(after);
		at = &as->afters; /* it may have changed them */
	}
}

__u64 asuser_count(const struct asuser *as)
{
	return as->started;
}

int asuser_after(struct asuser *as, __u64 from, void (*fn)(void *arg), void *arg)
{
	struct after *after;

	if (!under_way(as, from, as->started))
		return -ENOENT;
	after = calloc(1, sizeof(*after));
	if (!after)
		return -ENOMEM;
	*after = (struct after){ as->afters, from, as->started, fn, arg };
	as->afters = after;
	return 0;
}

/* Tells the result of the oldest. The agent may be gone afterwards: look for it anew. */
static void call_end(struct agent *a, struct asuser_result *result)
{
	struct asuser_call *call = a->first;
	struct asuser *as = a->as;

	a->first = call->next;
	if (!a->first)
		a->last = &a->first;
	if (a->sent)
		a->sent--;
	a->since = clock_us();
	if (call->fn)
		call->fn(call->arg, result);
	util_close_fd(&result->fd);
	call_free(call);
	afters_tell(as);
}

static void calls_fail(struct agent *a, int status)
{
	while (a->first) {
		struct asuser_result result = { .status = status, .fd = -1 };

		call_end(a, &result);
	}
}

/* What its process has already will be answered; what it has not goes at once. */
void asuser_forget(struct asuser_call *call)
{
	struct agent *a = call ? call->agent : NULL;
	struct asuser_call **at;
	unsigned int i = 0;

	if (!call)
		return;
	call->fn = NULL;
	for (at = &a->first; *at && *at != call; at = &(*at)->next)
		i++;
	if (!*at || i < a->sent) /* its result is told just now; or is on its way */
		return;
	*at = call->next;
	if (!call->next)
		a->last = at;
	call_free(call);
}

static int send_packet(int to, const void *data, size_t size, const int *fds, unsigned int n)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(ASUSER_ID_FDS)];
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	fdpass_put(&msg, control, fds, n);
	return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* --- processes ---------------------------------------------------------------------------------*/

static void agent_free(struct agent *a)
{
	struct agent **at = &a->as->agents;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	sd_event_source_disable_unref(a->source);
	sd_event_source_disable_unref(a->timer);
	sd_event_source_disable_unref(a->ended);
	util_close_fd(&a->fd);
	util_close_fd(&a->pidfd);
	asuser_id_unref(a->id);
	free(a);
}

static bool agent_reap(struct agent *a)
{
	siginfo_t info = { 0 };

	return a->pid <= 0 ||
	       (!waitid(P_PID, (id_t)a->pid, &info, WEXITED | WNOHANG) && info.si_pid == a->pid) ||
	       errno == ECHILD;
}

static int on_ended(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct agent *a = arg;

	(void)source;
	(void)fd;
	(void)events;
	if (agent_reap(a))
		agent_free(a);
	return 0;
}

/* Its calls are elsewhere: only the end of its process is waited for. */
static void agent_die(struct agent *a)
{
	a->dying = true;
	a->source = sd_event_source_disable_unref(a->source);
	a->timer = sd_event_source_disable_unref(a->timer);
	util_close_fd(&a->fd);
	a->fd = -1;
	if (a->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
	if (a->pid <= 0) {
		agent_free(a);
		return;
	}
	if (loop(a->as) && a->pidfd >= 0 && !a->ended &&
	    sd_event_add_io(a->as->event, &a->ended, a->pidfd, EPOLLIN, on_ended, a) < 0)
		a->ended = NULL; /* it is reaped with the next that is made */
}

static int agent_spawn(struct agent *a)
{
	char *const argv[] = { (char *)ASUSER_NAME, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int pair[2], high, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	high = fcntl(pair[1], F_DUPFD_CLOEXEC, ASUSER_FD + 1);
	close(pair[1]);
	a->fd = pair[0];
	if (high < 0)
		return -errno;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	for (int fd = 0; fd < ASUSER_FD; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&files, high, ASUSER_FD);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(&a->pid, "/proc/self/exe", &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	close(high);
	if (r) {
		a->pid = 0;
		return -r;
	}
	a->pidfd = (int)syscall(SYS_pidfd_open, a->pid, 0);
	return a->pidfd < 0 ? -errno : 0;
}

static int agent_hello(struct agent *a)
{
	struct asuser_hello hello = { 0 };
	int fds[ASUSER_ID_FDS];
	unsigned int n = 0;

	for (int i = 0; i < ASUSER_ID_FDS; i++)
		if (a->id->fds[i] >= 0)
			fds[n++] = a->id->fds[i];
	return send_packet(a->fd, &hello, sizeof(hello), fds, n);
}

static int on_agent(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)source;
	(void)fd;
	(void)events;
	agent_work(arg);
	return 0;
}

static void agent_late(struct agent *a);

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	agent_late(arg);
	return 0;
}

static int agent_watch(struct agent *a)
{
	sd_event *event = loop(a->as);
	int r;

	if (!event || a->dying)
		return 0;
	r = a->fd < 0 ? 0 : sd_event_add_io(event, &a->source, a->fd, EPOLLIN, on_agent, a);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &a->timer, CLOCK_MONOTONIC,
					       a->failed ? 0 : WAIT_US, 0, on_late, a);
	return r < 0 ? r : 0;
}

static void reap_all(struct asuser *as)
{
	struct agent *a, *next;

	for (a = as->agents; a; a = next) {
		next = a->next;
		if (a->dying && !a->busy && agent_reap(a))
			agent_free(a);
	}
}

/* Is there room for one more process of this account? One that has nothing to do makes it. */
static int room(struct asuser *as, const struct asuser_id *id)
{
	unsigned int all = 0, mine = 0, most = id->blob->account ? AGENTS_USER : AGENTS_ROOT;
	struct agent *a, *idle = NULL, *idle_mine = NULL;

	for (a = as->agents; a; a = a->next) {
		bool same = a->id->blob->account == id->blob->account;

		all += a->id->blob->account != 0;
		mine += same;
		if (a->dying || a->busy || a->first)
			continue;
		if (a->id->blob->account)
			idle = a;
		if (same)
			idle_mine = a;
	}
	if (mine >= most) {
		if (!idle_mine || mine > most)
			return -EBUSY;
		agent_die(idle_mine);
	} else if (id->blob->account && all >= AGENTS_ALL) {
		if (!idle || all > AGENTS_ALL)
			return -EBUSY;
		agent_die(idle);
	}
	return 0;
}

static struct agent *agent_new(struct asuser *as, struct asuser_id *id)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	reap_all(as);
	a->failed = room(as, id);
	a->as = as;
	a->id = asuser_id_ref(id);
	a->fd = a->pidfd = -1;
	a->last = &a->first;
	a->since = clock_us();
	a->next = as->agents;
	as->agents = a;
	if (!a->failed)
		a->failed = agent_spawn(a);
	if (!a->failed)
		a->failed = agent_hello(a);
	if (agent_watch(a)) {
		agent_die(a);
		return NULL;
	}
	return a;
}

static struct agent *agent_find(struct asuser *as, const struct asuser_id *id)
{
	struct agent *a = as->agents;

	while (a && (a->dying || a->failed || !id_same(a->id, id)))
		a = a->next;
	return a;
}

/* Its process is no more, or must not go on: what it has not done goes to another one. */
static void agent_replace(struct agent *a, int status)
{
	struct asuser *as = a->as;
	struct agent *fresh;

	a->busy = true;
	if (a->first && (status == -ETIMEDOUT || ++a->first->tries >= TRIES)) {
		struct asuser_result result = { .status = status, .fd = -1 };

		a->dying = true; /* what is started meanwhile is not for it */
		call_end(a, &result);
	}
	a->dying = true;
	if (a->first) {
		fresh = agent_new(as, a->id);
		if (fresh) {
			fresh->first = a->first;
			fresh->last = a->last;
			a->first = NULL;
			a->last = &a->first;
			for (struct asuser_call *c = fresh->first; c; c = c->next)
				c->agent = fresh;
			agent_work(fresh);
		} else {
			calls_fail(a, -ENOMEM);
		}
	}
	a->busy = false;
	agent_die(a);
}

/* When it is late, or has been idle for long. Calls that come later do not put that off. */
static void agent_timer(struct agent *a)
{
	__u64 end = a->failed ? 0 : a->since + (a->first ? WAIT_US : IDLE_US);

	if (a->timer) {
		sd_event_source_set_time(a->timer, end);
		sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
	}
}

/* Its timer: it has waited for too long for the oldest call, or for any. */
static void agent_late(struct agent *a)
{
	__u64 now = clock_us(), end = a->since + (a->first ? WAIT_US : IDLE_US);

	if (a->failed) {
		a->dying = a->busy = true;
		calls_fail(a, a->failed);
		a->busy = false;
		agent_die(a);
	} else if (now >= end && a->first) {
		agent_replace(a, -ETIMEDOUT);
	} else if (now >= end) {
		agent_die(a);
	} else {
		agent_timer(a);
	}
}

static int agent_send(struct agent *a)
{
	struct asuser_call *call = a->first;
	int r = 0;

	for (unsigned int i = 0; call && i < a->sent; i++)
		call = call->next;
	while (!r && a->ready && call && a->sent < WINDOW) {
		if (!a->sent)
			a->since = clock_us();
		r = send_packet(a->fd, &call->packet, sizeof(call->packet), &call->fd,
				call->fd >= 0);
		if (!r) {
			a->sent++;
			call = call->next;
		}
	}
	return r == -EAGAIN && a->sent ? 0 : r;
}

/* One packet of the process. */
static int agent_hear(struct agent *a)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(1)];
	struct asuser_reply reply;
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct asuser_result result = { .fd = -1 };
	ssize_t n = recvmsg(a->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	fdpass_get(&msg, &result.fd, 1);
	if (!a->ready && n == sizeof(struct asuser_hello)) {
		util_close_fd(&result.fd); /* nobody has asked for it */
		a->ready = !reply.status;
		a->since = clock_us();
		return reply.status;
	}
	if (n != sizeof(reply) || !a->sent) {
		util_close_fd(&result.fd);
		return -EPIPE;
	}
	result.status = reply.status;
	result.made = reply.made;
	result.dev = reply.dev;
	result.ino = reply.ino;
	call_end(a, &result);
	return 0;
}

/* Sends and hears what can be. */
static void agent_work(struct agent *a)
{
	int r = 0;

	a->busy = true;
	while (!r && !a->failed && !a->dying) {
		r = agent_send(a);
		if (!r)
			r = agent_hear(a);
	}
	a->busy = false;
	if (r == -EAGAIN) {
		agent_timer(a);
	} else if (r) {
		agent_replace(a, r);
	}
}

struct asuser_call *asuser_start(struct asuser *as, struct asuser_id *id,
				 const struct asuser_job *job, asuser_fn *fn, void *arg)
{
	struct asuser_call *call = calloc(1, sizeof(*call));
	struct agent *a = NULL;

	if (!call)
		return NULL;
	call->fd = job->fd >= 0 ? fcntl(job->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (job->fd < 0 || call->fd >= 0) /* without it, it would be another job */
		a = agent_find(as, id) ?: agent_new(as, id);
	if (!a) {
		call_free(call);
		return NULL;
	}
	call->packet = (struct asuser_packet){ .op = job->op,
					       .mode = job->mode,
					       .dev = job->dev,
					       .ino = job->ino,
					       .btime = job->btime };
	util_copy(call->packet.path, sizeof(call->packet.path), job->path);
	util_copy(call->packet.file, sizeof(call->packet.file), job->file);
	call->number = as->started++;
	call->agent = a;
	call->fn = fn;
	call->arg = arg;
	if (!a->first)
		a->since = clock_us();
	*a->last = call;
	a->last = &call->next;
	/* what cannot be sent now goes when it is answered, or is late */
	if (!a->failed)
		agent_send(a);
	agent_timer(a);
	return call;
}

/* --- all of them -------------------------------------------------------------------------------*/

/* One round of what the loop would do. False: there is nothing to wait for. */
static bool settle_round(struct asuser *as, int ms)
{
	struct pollfd p[AGENTS_ALL + 64];
	struct agent *of[ARRAY_SIZE(p)], *a, *next;
	nfds_t n = 0;

	for (a = as->agents; a; a = next) {
		next = a->next;
		if (a->failed && !a->dying) {
			agent_late(a);
			return true; /* any of them may be gone */
		}
		if (!a->dying && a->first && n < ARRAY_SIZE(p)) {
			of[n] = a;
			p[n++] = (struct pollfd){ .fd = a->fd, .events = POLLIN };
		}
	}
	if (!n)
		return false;
	poll(p, n, ms);
	for (nfds_t i = 0; i < n; i++) {
		if (p[i].revents) {
			agent_work(of[i]);
			return true;
		}
		if (clock_us() - of[i]->since >= WAIT_US) {
			agent_late(of[i]);
			return true;
		}
	}
	return true;
}

static void settle(struct asuser *as, unsigned int ms, const bool *done)
{
	__u64 end = clock_us() + (__u64)ms * 1000, now;

	while (!(done && *done) && (now = clock_us()) < end) {
		int left = (int)((end - now) / 1000) + 1;

		if (!settle_round(as, left < 100 ? left : 100))
			return;
	}
}

void asuser_settle(struct asuser *as, unsigned int ms)
{
	settle(as, ms, NULL);
}

void asuser_wait(struct asuser *as, const bool *done)
{
	settle(as, ASUSER_WAIT_MS, done);
}

struct one {
	bool done;
	struct asuser_result *result;
};

static void on_one(void *arg, struct asuser_result *result)
{
	struct one *one = arg;

	one->done = true;
	*one->result = *result;
	result->fd = -1;
}

int asuser_do(struct asuser *as, const struct asuser_job *job, struct asuser_result *result)
{
	struct one one = { .result = result };
	struct asuser_call *call;
	struct asuser_id *id;
	int r = asuser_id_self(&id);

	result->fd = -1;
	if (r)
		return r;
	call = asuser_start(as, id, job, on_one, &one);
	asuser_id_unref(id);
	if (!call)
		return -ENOMEM;
	asuser_wait(as, &one.done);
	if (one.done)
		return result->status;
	asuser_forget(call);
	return -ETIMEDOUT;
}

int asuser_begin(struct asuser *as, sd_event *event)
{
	int r = 0;

	as->event = event;
	reap_all(as);
	for (struct agent *a = as->agents; !r && a; a = a->next)
		r = agent_watch(a);
	return r;
}

int asuser_new(struct asuser **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void asuser_free(struct asuser *as)
{
	if (!as)
		return;
	while (as->agents) {
		struct agent *a = as->agents;

		while (a->first) {
			struct asuser_call *call = a->first;

			a->first = call->next;
			util_close_fd(&call->fd);
			free(call);
		}
		if (a->pidfd >= 0)
			syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
		agent_free(a);
	}
	while (as->afters) {
		struct after *after = as->afters;

		as->afters = after->next;
		free(after);
	}
	free(as);
}
