// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fdstore and its protocol: the process itself, as a manager and as an odd one speaks to it;
 * and the manager's side, whose process is killed, stopped, or never was an fdstore.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/util.h"
#include "manager/fdstore/client.h"
#include "manager/fdstore/protocol.h"
#include "manager/fdstore/store.h"

#define FABRIC 0x1234
#define WAIT_MS 10000

static char dir[64];
static int run_fd;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/fdstore.XXXXXX", getenv("IPN_TEST_TMP") ?: "/tmp");
	if (!mkdtemp(dir))
		return -1;
	run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return run_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	unlinkat(run_fd, FDSTORE_SOCKET, 0);
	close(run_fd);
	return rmdir(dir);
}

static struct sockaddr_un address(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/%s", dir, FDSTORE_SOCKET);
	return addr;
}

static int listener(void)
{
	const struct sockaddr_un addr = address();
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	unlink(addr.sun_path);
	assert_int_equal(bind(fd, (const void *)&addr, sizeof(addr)), 0);
	return fd;
}

static int connection(void)
{
	const struct sockaddr_un addr = address();
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	__u64 end = clock_us() + WAIT_MS * 1000ULL;

	/* until the process listens */
	while (connect(fd, (const void *)&addr, sizeof(addr)))
		assert_true(errno == ECONNREFUSED && clock_us() < end);
	return fd;
}

/* --- the process ------------------------------------------------------------------------------ */

static pid_t store;
static int conn;

/* The child of store_begin, with its descriptors where it looks for them. */
static void __attribute__((noreturn)) store_run(int listen_fd, int theirs, rlim_t files)
{
	const struct rlimit limit = { files, files };
	char inode[32];
	char *args[] = { dir, inode };
	struct stat st;

	lstat(address().sun_path, &st);
	snprintf(inode, sizeof(inode), "%llu", (unsigned long long)st.st_ino);
	listen_fd = fcntl(listen_fd, F_DUPFD, 10);
	theirs = fcntl(theirs, F_DUPFD, 10);
	dup2(listen_fd, FDSTORE_FD_LISTEN);
	dup2(theirs, FDSTORE_FD_MANAGER);
	if (files)
		setrlimit(RLIMIT_NOFILE, &limit);
	_exit(fdstore_run(2, args));
}

static void store_begin(rlim_t files)
{
	int fd = listener(), pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	store = fork();
	assert_true(store >= 0);
	if (!store)
		store_run(fd, pair[1], files);
	close(fd);
	close(pair[1]);
	conn = pair[0];
}

/* It ends by itself when it has nothing to keep, else it is killed. */
static void store_end(bool by_itself)
{
	int status;

	close(conn);
	if (!by_itself)
		kill(store, SIGKILL);
	assert_int_equal(waitpid(store, &status, 0), store);
	if (by_itself)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct fdstore_msg message(enum fdstore_op op, __u32 slot, __u32 nfds)
{
	struct fdstore_msg msg = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .op = op,
				   .fabric = FABRIC,
				   .slot = slot,
				   .gen = slot + 7,
				   .listener = FDSTORE_NO_LISTENER,
				   .nfds = nfds };

	snprintf(msg.file, sizeof(msg.file), "file%u", slot);
	snprintf(msg.descr, sizeof(msg.descr), "descr %u", slot);
	return msg;
}

static int hear_at(int fd, struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	return fdstore_recv(fd, msg, fds);
}

static int hear(struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	return hear_at(conn, msg, fds);
}

static void put(__u32 slot, const int *fds, __u32 nfds)
{
	struct fdstore_msg msg = message(FDSTORE_PUT, slot, nfds);

	assert_int_equal(fdstore_send(conn, &msg, fds), 0);
}

static void say(enum fdstore_op op, __u32 slot)
{
	struct fdstore_msg msg = message(op, slot, 0);

	assert_int_equal(fdstore_send(conn, &msg, NULL), 0);
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return !fstat(a, &sa) && !fstat(b, &sb) && sa.st_ino == sb.st_ino;
}

/* The next that comes is this one, with these descriptors. */
static void comes(enum fdstore_op op, __u32 slot, const int *fds, __u32 nfds)
{
	const struct fdstore_msg want = message(op, slot, nfds);
	struct fdstore_msg msg;
	int got[FDSTORE_FDS];

	assert_int_equal(hear(&msg, got), 0);
	assert_int_equal(msg.op, op);
	assert_memory_equal(&msg, &want, sizeof(msg));
	for (__u32 i = 0; i < FDSTORE_FDS; i++)
		assert_int_equal(got[i] >= 0 && same_file(got[i], fds[i]), i < nfds);
	fdstore_close(got);
}

static __u64 end_comes(void)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS];

	assert_int_equal(hear(&msg, fds), 0);
	assert_int_equal(msg.op, FDSTORE_END);
	return msg.alone;
}

static void pipes(int fds[FDSTORE_FDS])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	for (int i = 2; i < FDSTORE_FDS; i++)
		fds[i] = -1;
}

static void what_is_put_comes_back_in_a_list(void **state)
{
	int fds[FDSTORE_FDS];

	(void)state;
	pipes(fds);
	store_begin(0);
	say(FDSTORE_LIST, 0);
	end_comes();
	put(5, fds, 2);
	put(FDSTORE_LISTENER(3), fds, 1);
	put(FDSTORE_SLOTS - 1, NULL, 0);
	for (int i = 0; i < 2; i++) { /* it keeps them */
		say(FDSTORE_LIST, 0);
		comes(FDSTORE_ENTRY, 5, fds, 2);
		comes(FDSTORE_ENTRY, FDSTORE_LISTENER(3), fds, 1);
		comes(FDSTORE_ENTRY, FDSTORE_SLOTS - 1, NULL, 0);
		end_comes();
	}
	store_end(false);
	fdstore_close(fds);
}

static void what_is_replaced_or_deleted_is_given_back(void **state)
{
	int one[FDSTORE_FDS], two[FDSTORE_FDS];

	(void)state;
	pipes(one);
	pipes(two);
	store_begin(0);
	put(5, one, 2);
	put(5, two, 1);
	comes(FDSTORE_BACK, 5, one, 2);
	say(FDSTORE_DEL, 6); /* nothing is there */
	say(FDSTORE_DEL, 5);
	comes(FDSTORE_BACK, 5, two, 1);
	say(FDSTORE_LIST, 0);
	end_comes();
	store_end(true);
	fdstore_close(one);
	fdstore_close(two);
}

/* What came back and nobody took is closed: the pipe's other end sees it. */
static void nothing_is_kept_of_what_was_given_back(void **state)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], got[FDSTORE_FDS];
	struct pollfd p;

	(void)state;
	pipes(fds);
	store_begin(0);
	put(5, &fds[1], 1);
	say(FDSTORE_DEL, 5);
	close(fds[1]);
	assert_int_equal(hear(&msg, got), 0);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
	fdstore_close(got);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(p.revents & POLLHUP);
	store_end(true);
	close(fds[0]);
}

static void the_next_manager_finds_what_the_last_one_sent(void **state)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], got[FDSTORE_FDS], last;

	(void)state;
	pipes(fds);
	store_begin(0);
	for (__u32 slot = 0; slot < 20; slot++)
		put(slot, fds, 2);
	last = conn;
	conn = connection(); /* while what the last one sent is still to be read */
	say(FDSTORE_LIST, 0);
	for (__u32 slot = 0; slot < 20; slot++)
		comes(FDSTORE_ENTRY, slot, fds, 2);
	assert_int_equal(end_comes(), 0); /* never alone */
	assert_int_equal(hear_at(last, &msg, got), -EPIPE);
	close(last);
	close(conn);
	usleep(20000);
	conn = connection();
	say(FDSTORE_LIST, 0);
	for (__u32 slot = 0; slot < 20; slot++)
		comes(FDSTORE_ENTRY, slot, fds, 2);
	assert_in_range(end_comes(), 1, WAIT_MS);
	store_end(false);
	fdstore_close(fds);
}

static void packets_that_are_odd_close_the_connection(void **state)
{
	const struct fdstore_msg good = message(FDSTORE_PUT, 6, 0);
	struct fdstore_msg odd[12];
	int fds[FDSTORE_FDS], got[FDSTORE_FDS];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		odd[i] = good;
	odd[n++].magic++;
	odd[n++].version++;
	odd[n++].version--;
	odd[n++].op = 0;
	odd[n++].op = FDSTORE_ENTRY;
	odd[n++].op = ~0U;
	odd[n++].slot = FDSTORE_SLOTS;
	odd[n++].slot = ~0U;
	odd[n++].nfds = FDSTORE_FDS + 1;
	memcpy(odd[n++].file, "../up", 6);
	memset(odd[n++].file, 'x', sizeof(good.file));
	memset(odd[n++].descr, 'x', sizeof(good.descr));
	assert_int_equal(n, ARRAY_SIZE(odd));
	pipes(fds);
	store_begin(0);
	put(5, fds, 2);
	for (size_t i = 0; i <= n + 1; i++) {
		struct fdstore_msg msg;

		/* then one byte short, and one long */
		if (i < n)
			assert_true(send(conn, &odd[i], sizeof(good), 0) > 0);
		else
			assert_true(send(conn, (char[sizeof(good) + 1]){ 0 },
					 i == n ? sizeof(good) - 1 : sizeof(good) + 1, 0) > 0);
		assert_int_equal(hear(&msg, got), -EPIPE);
		close(conn);
		conn = connection();
		say(FDSTORE_LIST, 0);
		comes(FDSTORE_ENTRY, 5, fds, 2);
		end_comes();
	}
	store_end(false);
	fdstore_close(fds);
}

/* More descriptors than it says: they are closed, and nothing is put. */
static void descriptors_that_were_not_announced(void **state)
{
	struct fdstore_msg msg = message(FDSTORE_PUT, 5, 1);
	int fds[FDSTORE_FDS], got[FDSTORE_FDS];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * 2)];
	} control = { 0 };
	struct iovec iov = { &msg, sizeof(msg) };
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);

	(void)state;
	pipes(fds);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * 2);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * 2);
	store_begin(0);
	assert_true(sendmsg(conn, &hdr, 0) > 0);
	assert_int_equal(hear(&msg, got), -EPIPE);
	store_end(true);
	fdstore_close(fds);
}

static void without_descriptors_it_refuses(void **state)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], got[FDSTORE_FDS];
	__u32 slot = 0, kept;

	(void)state;
	pipes(fds);
	store_begin(16);
	do {
		struct pollfd p = { .fd = conn, .events = POLLIN };

		put(slot++, fds, 2);
		if (poll(&p, 1, 20) == 1)
			break;
	} while (slot < 16);
	assert_int_equal(hear(&msg, got), 0);
	assert_int_equal(msg.op, FDSTORE_REFUSED);
	assert_int_equal(msg.nfds, 0);
	kept = msg.slot;
	assert_true(kept >= 4);
	say(FDSTORE_DEL, 0);
	comes(FDSTORE_BACK, 0, fds, 2);
	put(100, fds, 1); /* there is room again */
	say(FDSTORE_LIST, 0);
	for (__u32 i = 1; i < kept; i++)
		comes(FDSTORE_ENTRY, i, fds, 2);
	comes(FDSTORE_ENTRY, 100, fds, 1);
	end_comes();
	store_end(false);
	fdstore_close(fds);
}

static void it_ends_when_it_has_nothing_to_keep(void **state)
{
	int fds[FDSTORE_FDS];

	(void)state;
	pipes(fds);
	store_begin(0);
	store_end(true);
	store_begin(0);
	put(1, fds, 1);
	say(FDSTORE_DEL, 1);
	store_end(true);
	fdstore_close(fds);
}

/* --- the manager's side ----------------------------------------------------------------------- */

static struct {
	bool wanted;
	int fds[FDSTORE_SLOTS];
	unsigned int described;
} held;

static bool source_wanted(void *arg)
{
	(void)arg;
	return held.wanted;
}

static bool source_there(void *arg, __u32 slot)
{
	(void)arg;
	return held.fds[slot] > 0;
}

static bool source_describe(void *arg, __u32 slot, struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	(void)arg;
	held.described++;
	if (held.fds[slot] <= 0)
		return false;
	msg->gen = slot;
	msg->nfds = 1;
	fds[0] = held.fds[slot];
	return true;
}

static const struct fdstore_source source = { source_wanted, source_there, source_describe, NULL };
static sd_event *event;
static struct fdstore *fs;

/* The process listens: before that, the next manager would not find it. */
static void wait_listening(void)
{
	__u64 end = clock_us() + WAIT_MS * 1000ULL;
	bool found = false;
	char name[64];

	/* as the manager's side has bound it */
	snprintf(name, sizeof(name), " /proc/self/fd/%d/" FDSTORE_SOCKET "\n", run_fd);
	while (!found) {
		FILE *f = fopen("/proc/net/unix", "re");
		char line[512];

		assert_non_null(f);
		assert_true(clock_us() < end);
		while (!found && fgets(line, sizeof(line), f))
			found = strstr(line, name) && strstr(line, " 00010000 ");
		fclose(f);
		sd_event_run(event, 500);
	}
}

static void client_begin(void)
{
	memset(&held, 0, sizeof(held));
	held.wanted = true;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(fdstore_new(&fs, run_fd, dir, FABRIC), 0);
	fdstore_begin(fs, event, NULL, &source);
	wait_listening();
}

/* The manager goes, and another comes. */
static void client_again(void)
{
	fdstore_free(fs);
	assert_int_equal(fdstore_new(&fs, run_fd, dir, FABRIC), 0);
	fdstore_take(fs);
}

/* What was on its way back to the manager before is not held. */
static void found_end(void *arg, struct fdstore_entry *e)
{
	*(unsigned int *)arg += e->msg.op == FDSTORE_ENTRY;
	fdstore_close(e->fds);
}

static void client_end(void)
{
	unsigned int rest = 0;

	fdstore_rest(fs, found_end, &rest);
	fdstore_end(fs);
	fdstore_free(fs);
	while (sd_event_run(event, 0) > 0)
		; /* the source that waits for the end of the process */
	sd_event_unref(event);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void run_for(__u64 us)
{
	__u64 end = clock_us() + us, now;

	while ((now = clock_us()) < end)
		sd_event_run(event, end - now);
}

/* Until it is told all: nothing was asked for in a while. */
static void run_until_told(void)
{
	__u32 before;

	do {
		before = held.described;
		run_for(300000);
	} while (held.described != before);
}

static pid_t child(void)
{
	char path[64];
	pid_t pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "r");
	assert_non_null(f);
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

static void hold(__u32 slot, int fd)
{
	held.fds[slot] = fd;
	fdstore_touch(fs, slot);
}

/* What the next manager finds is what is held, and nothing else. */
static void all_is_found(void)
{
	unsigned int rest = 0, n = 0;

	client_again();
	for (__u32 slot = 0; slot < FDSTORE_SLOTS; slot++) {
		struct fdstore_entry *e = fdstore_find(fs, slot, slot);

		assert_int_equal(e != NULL, held.fds[slot] > 0);
		if (!e)
			continue;
		assert_true(same_file(e->fds[0], held.fds[slot]));
		n++;
	}
	fdstore_rest(fs, found_end, &rest);
	assert_int_equal(rest, n);
}

static void the_next_manager_finds_what_is_held(void **state)
{
	int fds[FDSTORE_FDS];

	(void)state;
	pipes(fds);
	client_begin();
	assert_true(child() > 0);
	for (__u32 slot = 0; slot < 100; slot++)
		hold(slot * 3, fds[slot % 2]);
	for (__u32 slot = 0; slot < 50; slot++)
		hold(slot * 3, 0);
	hold(3, fds[0]);
	run_until_told();
	all_is_found();
	assert_null(fdstore_find(fs, 3, 3));
	client_end();
	fdstore_close(fds);
}

static void of_another_fabric_or_generation_nothing_is_found(void **state)
{
	unsigned int rest = 0;
	int fds[FDSTORE_FDS];

	(void)state;
	pipes(fds);
	client_begin();
	hold(1, fds[0]);
	run_until_told();
	client_again();
	assert_non_null(fdstore_find(fs, 1, 1));
	assert_null(fdstore_find(fs, 1, 2));
	assert_null(fdstore_find(fs, 2, 1));
	fdstore_rest(fs, found_end, &rest);
	fdstore_free(fs);
	assert_int_equal(fdstore_new(&fs, run_fd, dir, FABRIC + 1), 0);
	fdstore_take(fs);
	assert_null(fdstore_find(fs, 1, 1));
	client_end();
	fdstore_close(fds);
}

/* A stopped process holds nobody up; it is told all when it goes on. */
static void a_process_that_does_not_read_holds_nobody_up(void **state)
{
	int fds[FDSTORE_FDS];
	__u64 began;

	(void)state;
	pipes(fds);
	client_begin();
	run_for(1000);
	assert_int_equal(kill(child(), SIGSTOP), 0);
	began = clock_us();
	for (__u32 slot = 0; slot < FDSTORE_SLOTS; slot++)
		hold(slot, fds[slot % 2]);
	for (__u32 slot = 0; slot < FDSTORE_SLOTS; slot += 2)
		hold(slot, 0);
	assert_true(clock_us() - began < 2000000);
	assert_true(held.described < FDSTORE_SLOTS);
	assert_int_equal(kill(child(), SIGCONT), 0);
	run_until_told();
	all_is_found();
	client_end();
	fdstore_close(fds);
}

/* Killed: another one is started, not too often, and is told everything. */
static void a_process_that_dies_is_replaced_and_nothing_is_lost(void **state)
{
	int fds[FDSTORE_FDS];
	pid_t first, second;
	__u64 began = clock_us();

	(void)state;
	pipes(fds);
	client_begin();
	for (__u32 slot = 0; slot < 100; slot++)
		hold(slot, fds[0]);
	run_for(1000);
	first = child();
	assert_int_equal(kill(first, SIGKILL), 0);
	hold(7, fds[1]);
	hold(8, 0);
	do {
		run_for(10000);
		second = child();
		assert_true(clock_us() - began < WAIT_MS * 1000ULL);
	} while (!second || second == first);
	assert_true(clock_us() - began > 1500000);
	wait_listening();
	run_until_told();
	all_is_found();
	client_end();
	fdstore_close(fds);
}

static void without_a_listener_there_is_no_process(void **state)
{
	pid_t pid;
	__u64 end = clock_us() + WAIT_MS * 1000ULL;

	(void)state;
	client_begin();
	pid = child();
	assert_true(pid > 0);
	held.wanted = false;
	fdstore_touch(fs, 1);
	assert_int_equal(faccessat(run_fd, FDSTORE_SOCKET, F_OK, 0), -1);
	while (child() == pid && clock_us() < end)
		run_for(1000);
	assert_int_equal(child(), 0);
	held.wanted = true;
	fdstore_touch(fs, 1);
	assert_true(child() > 0);
	client_end();
}

/* --- servers that are no fdstore --- */

static void speak_nothing(int fd)
{
	(void)fd;
}

static void speak_noise(int fd)
{
	send(fd, "noise", 5, 0);
	usleep(200000);
}

static void speak_other_version(int fd)
{
	struct fdstore_msg msg = message(FDSTORE_END, 0, 0);

	msg.version++;
	fdstore_send(fd, &msg, NULL);
	usleep(200000);
}

static void speak_fewer_descriptors(int fd)
{
	struct fdstore_msg msg = message(FDSTORE_ENTRY, 1, 2);

	send(fd, &msg, sizeof(msg), 0);
	usleep(200000);
}

static void speak_and_die(int fd)
{
	struct fdstore_msg msg = message(FDSTORE_ENTRY, 1, 1);

	fdstore_send(fd, &msg, &fd);
}

static const struct {
	const char *name;
	void (*speak)(int fd);
} servers[] = {
	{ "closes", speak_nothing },
	{ "noise", speak_noise },
	{ "another version", speak_other_version },
	{ "fewer descriptors than it says", speak_fewer_descriptors },
	{ "dies in its list", speak_and_die },
};

static void servers_that_are_none_are_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		int fd = listener(), ready[FDSTORE_FDS];
		char byte;
		pid_t pid;

		pipes(ready);
		pid = fork();
		if (!pid) { /* who listens is whom the manager takes for the fdstore, and kills */
			if (listen(fd, 8) || write(ready[1], "", 1) != 1)
				_exit(1);
			servers[i].speak(accept(fd, NULL, NULL));
			_exit(0);
		}
		close(fd);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		fdstore_close(ready);
		assert_int_equal(fdstore_new(&fs, run_fd, dir, FABRIC), 0);
		fdstore_take(fs);
		assert_true(sd_event_new(&event) >= 0);
		/* it starts one of its own */
		memset(&held, 0, sizeof(held));
		held.wanted = true;
		waitpid(pid, NULL, 0);
		fdstore_begin(fs, event, NULL, &source);
		if (!child())
			fail_msg("%s: no fdstore was started", servers[i].name);
		client_end();
	}
}

int main(int argc, char *argv[])
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_put_comes_back_in_a_list),
		TEST(what_is_replaced_or_deleted_is_given_back),
		TEST(nothing_is_kept_of_what_was_given_back),
		TEST(the_next_manager_finds_what_the_last_one_sent),
		TEST(packets_that_are_odd_close_the_connection),
		TEST(descriptors_that_were_not_announced),
		TEST(without_descriptors_it_refuses),
		TEST(it_ends_when_it_has_nothing_to_keep),
		TEST(the_next_manager_finds_what_is_held),
		TEST(of_another_fabric_or_generation_nothing_is_found),
		TEST(a_process_that_does_not_read_holds_nobody_up),
		TEST(a_process_that_dies_is_replaced_and_nothing_is_lost),
		TEST(without_a_listener_there_is_no_process),
		TEST(servers_that_are_none_are_left),
	};

	/* as the manager starts it */
	if (argc > 0 && !strcmp(argv[0], FDSTORE_NAME))
		return fdstore_run(argc - 1, argv + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
