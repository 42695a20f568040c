// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests as a hostile client sends them: each type with each wrong size and with descriptors of
 * each kind, broken headers, odd packets. The answer is an errno with a text, the session goes on
 * unless the header is broken, and no descriptor is left behind.
 */
#include "rig.h"

#include <fcntl.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/control/packet.h"
#include "manager/control/request.h"

#define BODY_MAX (IPN_CTL_MAX_PACKET - sizeof(struct ipn_ctl_hdr))

static struct rig rig;
static struct reply reply;
static __u8 body[BODY_MAX + 1];

/* --- descriptors of all kinds --- */

static int fd_file(void)
{
	return open(rig_path(&rig, "file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static int fd_dir(void)
{
	return open(rig.dir, O_PATH | O_CLOEXEC);
}

static int fd_net(void)
{
	return open(rig_path(&rig, "net"), O_PATH | O_CLOEXEC);
}

static int fd_no_net(void)
{
	return rig_inode(&rig, "no_net", 0777);
}

static int fd_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	close(fds[0]);
	return fds[1];
}

static int fd_netns(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int fd_memory(void)
{
	return memfd_create("request_test", MFD_CLOEXEC);
}

static int fd_device(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fd_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int (*const makers[])(void) = {
	fd_file, fd_dir, fd_net, fd_no_net, fd_pipe, fd_netns, fd_memory, fd_device, fd_socket,
};

/* --- */

/* Of one that is, the path is removed by a process of its own, which stays for a while. */
static bool persistent;

static void net_again(void)
{
	const struct ipn_net_info info = { .policy = IPN_POLICY_SWITCH, .persistent = persistent };

	if (!rig.f.nets)
		assert_non_null(rig_net(&rig, "net", &info));
}

static int setup(void **state)
{
	(void)state;
	rig_new(&rig);
	rig.no_fdstore = persistent = true;
	if (rig_start(&rig)) {
		print_error("%s\n", rig.e.text);
		return -1;
	}
	net_again();
	rig_settle(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(&rig);
	return 0;
}

static void must_be_text(void)
{
	assert_true(reply.len > 0);
	assert_int_equal(reply.nfds, 0);
	for (size_t i = 0; i < reply.len; i++)
		if (reply.body[i] < ' ' || reply.body[i] == 0x7f)
			fail_msg("no line of text: %.*s", (int)reply.len, (char *)reply.body);
}

/* What the row of the request says to this; 1: it is up to the handler. */
static int judged(unsigned int type, size_t len, unsigned int nfds)
{
	const struct request_kind *row = type < IPN_CTL_TYPES ? &request_kinds[type] : NULL;

	if (!row || !row->fn)
		return -EOPNOTSUPP;
	if (len != row->body)
		return -EBADMSG;
	return nfds < row->min_fds || nfds > row->max_fds ? -EBADF : 1;
}

/* One request, and the session still answers. A session that has got something is left. */
static void try(int *s, unsigned int type, size_t len, int (*maker)(void), unsigned int nfds)
{
	int fds[IPN_CTL_MAX_FDS] = { 0 }, r, expected = judged(type, len, nfds);

	for (unsigned int i = 0; i < nfds; i++) {
		fds[i] = maker();
		assert_true(fds[i] >= 0);
	}
	r = ctl_call(&rig, *s, (__u16)type, body, len, fds, nfds, &reply);
	for (unsigned int i = 0; i < nfds; i++)
		close(fds[i]);
	if (r == -EPIPE)
		fail_msg("request %u, %zu bytes, %u descriptors: no answer", type, len, nfds);
	if (expected != 1 && r != expected)
		fail_msg("request %u, %zu bytes, %u descriptors: %d, not %d", type, len, nfds, r,
			 expected);
	if (r)
		must_be_text();
	reply_close(&reply);
	if (!r) {
		ctl_close(&rig, *s);
		*s = ctl_open(&rig);
		net_again();
	}
	assert_int_equal(ctl_call(&rig, *s, IPN_CTL_INFO, NULL, 0, NULL, 0, &reply), 0);
}

static void every_request_with_wrong_sizes(void **state)
{
	const unsigned int before = rig_fds();

	(void)state;
	for (unsigned int type = 0; type <= IPN_CTL_TYPES + 1; type++) {
		const size_t right = type < IPN_CTL_TYPES ? request_kinds[type].body : 0;
		const size_t sizes[] = { 0, right ? right - 1 : 1, right + 1, BODY_MAX };
		int s = ctl_open(&rig);

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			try(&s, type, sizes[i], NULL, 0);
			try(&s, type, sizes[i], fd_net, 1);
		}
		ctl_close(&rig, s);
		rig_settle(&rig);
		if (rig_fds() != before)
			fail_msg("request %u: %u descriptors, not %u", type, rig_fds(), before);
	}
	assert_false(rig.control->sessions);
}

static void every_request_with_descriptors_of_every_kind(void **state)
{
	const unsigned int before = rig_fds();

	(void)state;
	for (unsigned int type = 0; type < IPN_CTL_TYPES; type++) {
		const size_t len = request_kinds[type].body;
		int s;

		if (!request_kinds[type].fn)
			continue;
		persistent = type != IPN_CTL_NET_DEL_ID;
		rig.f.nets->info.persistent = persistent;
		s = ctl_open(&rig);
		for (int fill = 0; fill < 2; fill++) {
			memset(body, fill ? 0xff : 0, len);
			try(&s, type, len, NULL, 0);
			for (size_t k = 0; k < ARRAY_SIZE(makers); k++)
				for (unsigned int n = 1; n <= 4; n++)
					try(&s, type, len, makers[k], n);
		}
		ctl_close(&rig, s);
		rig_settle(&rig);
		if (rig_fds() != before)
			fail_msg("request %u: %u descriptors, not %u", type, rig_fds(), before);
	}
	assert_true(rig.down); /* IPN_CTL_DOWN was among them */
}

/* --- headers and packets --- */

static const struct ipn_ctl_hdr good = {
	.magic = IPN_CTL_MAGIC,
	.version = IPN_CTL_VERSION,
	.type = IPN_CTL_INFO,
	.len = sizeof(good),
};

static int answer(int s, const void *packet, size_t len, const int *fds, unsigned int nfds)
{
	int r = ctl_send(s, packet, len, fds, nfds);

	assert_int_equal(r, 0);
	rig_run(&rig);
	r = ctl_recv(s, &reply);
	return r ? r : -reply.hdr.status;
}

static void headers_that_contradict_themselves(void **state)
{
	const struct {
		struct ipn_ctl_hdr hdr;
		int r;
	} rows[] = {
		{ { IPN_CTL_MAGIC, 0, IPN_CTL_INFO, 1, sizeof(good), 0, 0 }, -EPROTO },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION + 1, IPN_CTL_INFO, 1, sizeof(good), 0, 0 },
		  -EPROTO },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, 0, 0, 0 }, -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, sizeof(good) - 1, 0, 0 },
		  -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, sizeof(good) + 1, 0, 0 },
		  -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, ~0U, 0, 0 }, -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, sizeof(good), 1, 0 },
		  -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, IPN_CTL_INFO, 1, sizeof(good), 0, 1 },
		  -EBADMSG },
		{ { IPN_CTL_MAGIC, IPN_CTL_VERSION, 0xffff, 1, sizeof(good), 0, 0 }, -EOPNOTSUPP },
	};
	int s = ctl_open(&rig);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(answer(s, &rows[i].hdr, sizeof(good), NULL, 0), rows[i].r);
		must_be_text();
		assert_int_equal(reply.hdr.id, 1);
		assert_int_equal(reply.hdr.type, rows[i].hdr.type);
		assert_int_equal(answer(s, &good, sizeof(good), NULL, 0), 0);
	}
	ctl_close(&rig, s);
}

/* A packet that cannot be answered ends its session, and what came with it is closed. */
static void ends_the_session(const void *packet, size_t len, unsigned int nfds)
{
	const unsigned int before = rig_fds();
	int s = ctl_open(&rig), fds[FDPASS_MAX] = { 0 };

	for (unsigned int i = 0; i < nfds; i++)
		fds[i] = i ? fds[0] : fd_pipe();
	assert_int_equal(answer(s, packet, len, fds, nfds), -EPIPE);
	if (nfds)
		close(fds[0]);
	close(s);
	rig_settle(&rig);
	assert_int_equal(rig_fds(), before);
	assert_null(rig.control->sessions);
}

static void packets_that_cannot_be_answered(void **state)
{
	alignas(8) static __u8 packet[IPN_CTL_MAX_PACKET + 1];
	struct ipn_ctl_hdr *hdr = (void *)packet;

	(void)state;
	*hdr = good;
	for (size_t len = 0; len < sizeof(good); len++)
		ends_the_session(packet, len, len % 2);
	hdr->magic++;
	ends_the_session(packet, sizeof(good), 0);
	ends_the_session(packet, sizeof(packet) - 1, 1);
	*hdr = good;
	hdr->len = sizeof(packet);
	ends_the_session(packet, sizeof(packet), 1);
	*hdr = good;
	ends_the_session(packet, sizeof(good), IPN_CTL_MAX_FDS + 1);
	ends_the_session(packet, sizeof(good), FDPASS_MAX);
}

static void unread_packets_are_closed_with_their_descriptors(void **state)
{
	const unsigned int before = rig_fds();
	int s = ctl_open(&rig), fd = fd_pipe();

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ctl_send(s, "bad", 3, &fd, 1), 0);
		assert_int_equal(ctl_send(s, &good, sizeof(good), &fd, 1), 0);
	}
	close(fd);
	close(s);
	rig_settle(&rig);
	assert_int_equal(rig_fds(), before);
}

static void a_client_that_does_not_read_is_cut_off(void **state)
{
	int s = ctl_open(&rig), small = 1;

	(void)state;
	setsockopt(rig.control->sessions->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (!ctl_send(s, &good, sizeof(good), NULL, 0))
		rig_run(&rig);
	assert_null(rig.control->sessions);
	close(s);
}

static void a_monitor_takes_no_other_request(void **state)
{
	int s = ctl_open(&rig);

	(void)state;
	assert_int_equal(ctl_call(&rig, s, IPN_CTL_MONITOR, NULL, 0, NULL, 0, &reply), 0);
	for (unsigned int type = 0; type <= IPN_CTL_TYPES; type++) {
		const size_t len = type < IPN_CTL_TYPES ? request_kinds[type].body : 0;

		assert_int_equal(ctl_call(&rig, s, (__u16)type, body, len, NULL, 0, &reply),
				 -EISCONN);
		must_be_text();
	}
	ctl_close(&rig, s);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_request_with_wrong_sizes),
		TEST(every_request_with_descriptors_of_every_kind),
		TEST(headers_that_contradict_themselves),
		TEST(packets_that_cannot_be_answered),
		TEST(unread_packets_are_closed_with_their_descriptors),
		TEST(a_client_that_does_not_read_is_cut_off),
		TEST(a_monitor_takes_no_other_request),
	};

	if (geteuid()) {
		printf("skip: sockets of networks are made by mknod: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
