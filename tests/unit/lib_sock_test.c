// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descriptors, addresses, options, bind, connect, shutdown: what libipn says to a manager and when.
 */
#include "fake_manager.h"

#include <ipn/ipn.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/addr.h"
#include "lib/sock.h"

#define SLOTS 64
#define PORT 3

static struct fake_manager manager;
static char dir[64];

/* what the manager answers, and what it was asked */
static int refuse;       /* errno for everything but INFO */
static int short_by;     /* bytes missing from replies */
static __u32 side_flags; /* of the node that connects */
static bool no_log;      /* forgets a descriptor */
static __u32 log_mask;
static __u32 the_size; /* ports of the network */
static struct ipn_ctl_net_add asked_add;
static struct ipn_ctl_bind asked_bind;
static struct ipn_ctl_connect asked_connect;
static struct ipn_ctl_shutdown asked_shutdown;
static struct ipn_ctl_descr asked_descr;
static unsigned int asked_nfds;
static struct stat asked_path;
static int last_log = -1; /* a copy of the log given out */

static int memory(size_t size)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);

	return ftruncate(fd, (off_t)size) ? -1 : fd;
}

static struct ipn_ctl_net the_net(void)
{
	struct ipn_ctl_net net = {
		.id = 1,
		.policy = IPN_POLICY_SWITCH,
		.mtu = 1000,
		.numnodes = the_size,
		.pool = 16,
		.mode = 0750,
	};

	return net;
}

static void answer_connect(struct fake_reply *rep)
{
	size_t log_size = (SLOTS + 2) * IPN_SLOT_ETH;
	struct ipn_ctl_connected c = {
		.net = the_net(),
		.port = PORT,
		.flags = side_flags,
		.fds = IPN_CTL_FD_TAP | IPN_CTL_FD_BELL | IPN_CTL_FD_PAGE,
		.log_class = IPN_LOG_ETH,
		.log_mask = log_mask,
		.node_log_mask = log_mask,
		.bell_size = IPN_BELL_SIZE,
		.cursor = 5,
		.node_cursor = 6,
	};

	rep->fds[rep->nfds++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	rep->fds[rep->nfds++] = memory(4 * 4096);
	rep->fds[rep->nfds++] = memory(4096);
	if (side_flags & IPN_PF_READER && !no_log) {
		c.fds |= IPN_CTL_FD_LOG | IPN_CTL_FD_NODELOG;
		rep->fds[rep->nfds++] = memory(log_size);
		util_close_fd(&last_log);
		last_log = dup(rep->fds[rep->nfds - 1]);
		rep->fds[rep->nfds++] = memory(log_size);
	}
	fake_set_body(rep, &c, sizeof(c));
}

static void answer(struct fake_manager *m, const struct fake_request *req, struct fake_reply *rep)
{
	struct ipn_ctl_net net = the_net();
	struct ipn_ctl_connected c = { .net = net, .port = PORT, .flags = side_flags };

	(void)m;
	asked_nfds = req->nfds;
	if (req->nfds)
		fstat(req->fds[0], &asked_path);
	if (refuse) {
		rep->hdr.status = refuse;
		return;
	}
	switch (req->hdr.type) {
	case IPN_CTL_NET_ADD:
		memcpy(&asked_add, req->body, sizeof(asked_add));
		fake_set_body(rep, &net, sizeof(net));
		break;
	case IPN_CTL_BIND:
		memcpy(&asked_bind, req->body, sizeof(asked_bind));
		fake_set_body(rep, &net, sizeof(net));
		break;
	case IPN_CTL_CONNECT:
		memcpy(&asked_connect, req->body, sizeof(asked_connect));
		answer_connect(rep);
		break;
	case IPN_CTL_REJOIN:
		fake_set_body(rep, &c, sizeof(c));
		break;
	case IPN_CTL_SHUTDOWN:
		memcpy(&asked_shutdown, req->body, sizeof(asked_shutdown));
		break;
	case IPN_CTL_RESIZE:
		memcpy(&the_size, req->body, sizeof(the_size));
		net = the_net();
		fake_set_body(rep, &net, sizeof(net));
		break;
	case IPN_CTL_NET_GET:
		fake_set_body(rep, &net, sizeof(net));
		break;
	case IPN_CTL_DESCR:
		memcpy(&asked_descr, req->body, sizeof(asked_descr));
		break;
	default:
		break;
	}
	if (rep->len)
		rep->len -= (size_t)short_by;
}

static int setup(void **state)
{
	(void)state;
	refuse = short_by = 0;
	no_log = false;
	log_mask = SLOTS - 1;
	the_size = 40;
	side_flags = IPN_PF_READER | IPN_PF_WRITER;
	strcpy(dir, "/tmp/ipn-nets-XXXXXX");
	assert_non_null(mkdtemp(dir));
	fake_manager_start(&manager, answer);
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	fake_manager_end(&manager);
	util_close_fd(&last_log);
	last_log = -1;
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/net%d", dir, i);
		unlink(path);
	}
	return rmdir(dir);
}

#define assert_errno(call, err)               \
	do {                                  \
		assert_int_equal((call), -1); \
		assert_int_equal(errno, err); \
	} while (0)

static int new_socket(int protocol)
{
	int fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, protocol);

	assert_true(fd >= 0);
	return fd;
}

static struct sockaddr_un net_addr(int i)
{
	struct sockaddr_un sun = { .sun_family = AF_IPN };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/net%d", dir, i);
	return sun;
}

static int do_bind(int fd, int i)
{
	struct sockaddr_un sun = net_addr(i);

	return ipn_bind(fd, (struct sockaddr *)&sun, sizeof(sun));
}

static int do_connect(int fd, int i)
{
	struct sockaddr_un sun = net_addr(i);

	return ipn_connect(fd, (struct sockaddr *)&sun, sizeof(sun));
}

static void make_inode(int i)
{
	struct sockaddr_un sun = net_addr(i);

	assert_int_equal(mknod(sun.sun_path, S_IFSOCK | 0700, 0), 0);
}

static bool exists(int i)
{
	struct sockaddr_un sun = net_addr(i);

	return access(sun.sun_path, F_OK) == 0;
}

/* --- descriptors --- */

static void socket_arguments(void **state)
{
	int fd;

	(void)state;
	assert_errno(ipn_socket(AF_UNIX, SOCK_RAW, 0), EAFNOSUPPORT);
	assert_errno(ipn_socket(AF_IPN, SOCK_STREAM, 0), EPROTOTYPE);
	assert_errno(ipn_socket(AF_IPN, SOCK_RAW | 0x10000000, 0), EPROTOTYPE);
	assert_errno(ipn_socket(AF_IPN, SOCK_RAW, 77), EPROTONOSUPPORT);
	assert_errno(ipn_socket(AF_IPN, SOCK_RAW, -1), EPROTONOSUPPORT);

	fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(ipn_close(fd), 0);
	fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPN_ANY);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(ipn_close(fd), 0);
	assert_errno(ipn_close(fd), EBADF);

	fake_manager_die(&manager);
	assert_errno(ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY), ENETDOWN);
	fake_manager_listen(&manager);
}

static void descriptors_that_are_none_of_ours(void **state)
{
	char c = 0;

	(void)state;
	assert_errno(ipn_recv(-1, &c, 1, 0), EBADF);
	assert_errno(ipn_recv(100000000, &c, 1, 0), EBADF);
	assert_errno(ipn_send(1, &c, 1, 0), ENOTSOCK);
	assert_errno(ipn_close(1), ENOTSOCK);
	assert_true(fcntl(1, F_GETFD) >= 0);
}

/* A new socket with this number; the fake manager's thread may have it for a moment. */
static int socket_numbered(int number, int policy)
{
	for (int tries = 0; tries < 1000; tries++) {
		int fd = new_socket(policy);

		if (fd == number)
			return fd;
		assert_int_equal(ipn_close(fd), 0);
		usleep(1000);
	}
	fail_msg("number %d was never free", number);
	return -1;
}

/* The number of a descriptor closed with close(2) is somebody else's soon. */
static void a_reused_number_is_noticed(void **state)
{
	int fd = new_socket(IPN_ANY), other, again;
	int v;
	socklen_t len = sizeof(v);

	(void)state;
	other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup3(other, fd, O_CLOEXEC), fd); /* closes it, and takes the number */
	close(other);
	assert_errno(ipn_getsockopt(fd, 0, IPN_SO_MTU, &v, &len), EBADF);
	assert_errno(ipn_close(fd), ENOTSOCK);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);

	again = socket_numbered(fd, IPN_ANY);
	close(again);
	again = socket_numbered(fd, IPN_BROADCAST); /* the stale entry gives way */
	assert_int_equal(ipn_getsockopt(again, 0, IPN_SO_MTU, &v, &len), 0);
	assert_int_equal(ipn_close(again), 0);
}

static void calls_before_connect(void **state)
{
	int fd = new_socket(IPN_ANY), len = 9;
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	struct sockaddr_un sun;
	socklen_t sun_len = sizeof(sun);
	uint64_t n = 9;
	char c = 0;

	(void)state;
	assert_errno(ipn_send(fd, &c, 1, 0), ENOTCONN);
	assert_errno(ipn_recv(fd, &c, 1, 0), ENOTCONN);
	assert_errno(ipn_recv_done(fd, 1), ENOTCONN);
	assert_errno(ipn_getsockname(fd, (struct sockaddr *)&sun, &sun_len), ENOTCONN);
	assert_int_equal(ipn_poll(&p, 1, 0), 0);
	assert_int_equal(ipn_poll(&p, 1, 10), 0);
	assert_int_equal(ipn_ioctl(fd, FIONREAD, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(ipn_overruns(fd, &n), 0);
	assert_int_equal(n, 0);
	assert_errno(ipn_ioctl(fd, IPN_CONN_NETDEV, NULL), EFAULT);
	assert_errno(ipn_ioctl(fd, 0x802849caUL, NULL), EFAULT);
	assert_errno(ipn_ioctl(fd, TIOCGWINSZ, NULL), ENOTTY);
	assert_errno(ipn_connect(fd, NULL, 0), EINVAL);
	assert_int_equal(ipn_close(fd), 0);
}

/* --- addresses --- */

static void addresses(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_IPN, .sun_path = "/a/b" };
	const socklen_t start = offsetof(struct sockaddr_un, sun_path);
	struct sockaddr *sa = (struct sockaddr *)&sun;
	char path[ADDR_PATH_SIZE], absolute[IPN_PATH_MAX], cwd[PATH_MAX], want[PATH_MAX + 8];
	socklen_t len;

	(void)state;
	assert_int_equal(addr_parse(sa, sizeof(sun), path), 0);
	assert_string_equal(path, "/a/b");
	assert_int_equal(addr_parse(sa, start + 3, path), 0); /* no NUL within the length */
	assert_string_equal(path, "/a/");
	assert_int_equal(addr_parse(NULL, sizeof(sun), path), -EINVAL);
	assert_int_equal(addr_parse(sa, 0, path), -EINVAL);
	assert_int_equal(addr_parse(sa, 1, path), -EINVAL);
	assert_int_equal(addr_parse(sa, start, path), -EINVAL);
	assert_int_equal(addr_parse(sa, sizeof(sun) + 1, path), -EINVAL);
	sun.sun_family = AF_UNIX;
	assert_int_equal(addr_parse(sa, sizeof(sun), path), -EINVAL);
	sun.sun_family = AF_IPN;
	sun.sun_path[0] = '\0'; /* abstract */
	assert_int_equal(addr_parse(sa, sizeof(sun), path), -EINVAL);
	memset(sun.sun_path, 'p', sizeof(sun.sun_path));
	assert_int_equal(addr_parse(sa, sizeof(sun), path), 0);
	assert_int_equal(strlen(path), sizeof(sun.sun_path));
	assert_int_equal(addr_absolute(path, absolute), -ENAMETOOLONG);
	path[107] = '\0'; /* fits as given, not from the root */
	assert_int_equal(addr_absolute(path, absolute), 0);
	assert_string_equal(absolute, path);
	assert_int_equal(addr_absolute("x", absolute), 0);
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/x", cwd);
	assert_string_equal(absolute, want);
	assert_int_equal(addr_absolute("/x", absolute), 0);
	assert_string_equal(absolute, "/x");

	memset(&sun, 0xff, sizeof(sun));
	len = start + 2;
	addr_fill("/abc", sa, &len);
	assert_int_equal(len, start + 5);
	assert_int_equal(sun.sun_family, AF_IPN);
	assert_memory_equal(sun.sun_path, "/a\xff", 3);
}

/* --- options --- */

static int set_int(int fd, int name, int v)
{
	return ipn_setsockopt(fd, 0, name, &v, sizeof(v)) ? -errno : 0;
}

static int get_int(int fd, int name)
{
	int v = -12345;
	socklen_t len = sizeof(v);

	if (ipn_getsockopt(fd, 0, name, &v, &len))
		return -errno;
	assert_int_equal(len, sizeof(v));
	return v;
}

/* Every option of the network, with each side of each limit. */
static void network_options(void **state)
{
	static const struct {
		int name, first, good, good2, bad, bad2, bound;
	} t[] = {
		{ IPN_SO_MTU, 1514, 1, 65535, 0, 65536, 1000 },
		{ IPN_SO_NUMNODES, 32, 1, 4096, 0, 4097, 40 },
		{ IPN_SO_MSGPOOLSIZE, 8, 1, 65536, 0, 65537, 16 },
		{ IPN_SO_MODE, 0777, 1, 07777, 0, 010000, -1 },
		{ IPN_SO_FLAGS, 0, 0, 0, -1, 2, 0 },
	};
	int fd = new_socket(IPN_VDESWITCH), bound = new_socket(IPN_VDESWITCH);
	int v = 5;
	socklen_t len;

	(void)state;
	assert_int_equal(do_bind(bound, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(get_int(fd, t[i].name), t[i].first);
		assert_int_equal(set_int(fd, t[i].name, t[i].bad), -EINVAL);
		assert_int_equal(set_int(fd, t[i].name, t[i].bad2), -EINVAL);
		assert_int_equal(set_int(fd, t[i].name, -5), -EINVAL);
		assert_int_equal(get_int(fd, t[i].name), t[i].first);
		assert_int_equal(set_int(fd, t[i].name, t[i].good2), 0);
		assert_int_equal(get_int(fd, t[i].name), t[i].good2);
		assert_int_equal(set_int(fd, t[i].name, t[i].good), 0);
		assert_int_equal(get_int(fd, t[i].name), t[i].good);
		for (socklen_t n = 0; n < sizeof(v); n++) {
			assert_errno(ipn_setsockopt(fd, 0, t[i].name, &v, n), EINVAL);
			len = n;
			assert_errno(ipn_getsockopt(fd, 0, t[i].name, &v, &len), EINVAL);
		}
		assert_errno(ipn_setsockopt(fd, 0, t[i].name, NULL, sizeof(v)), EINVAL);
		assert_int_equal(set_int(bound, t[i].name, t[i].good), -EISCONN);
		assert_int_equal(get_int(bound, t[i].name), t[i].bound);
	}
	assert_int_equal(set_int(fd, IPN_SO_FLAGS, IPN_FLAG_LOSSLESS), 0);
	assert_int_equal(set_int(fd, 0x7f, 1), -ENOPROTOOPT);
	assert_int_equal(get_int(fd, 0x7f), -ENOPROTOOPT);
	ipn_close(fd);
	ipn_close(bound);
}

static void node_options(void **state)
{
	int fd = new_socket(IPN_ANY);

	(void)state;
	make_inode(0);
	assert_int_equal(get_int(fd, IPN_SO_PORT), IPN_PORTNO_ANY);
	assert_int_equal(set_int(fd, IPN_SO_PORT, -2), -EINVAL);
	assert_int_equal(set_int(fd, IPN_SO_PORT, 0), 0);
	assert_int_equal(get_int(fd, IPN_SO_PORT), 0);
	assert_int_equal(set_int(fd, IPN_SO_PORT, 9), 0);
	assert_int_equal(do_bind(fd, 0), 0);
	assert_int_equal(set_int(fd, IPN_SO_PORT, 10), 0); /* until connect */
	assert_int_equal(do_connect(fd, 0), 0);
	assert_int_equal(asked_connect.port, 10);
	assert_int_equal(get_int(fd, IPN_SO_PORT), PORT);
	assert_int_equal(set_int(fd, IPN_SO_PORT, 1), -EISCONN);

	assert_int_equal(get_int(fd, IPN_SO_HANDLE_OOB), 0);
	assert_int_equal(set_int(fd, IPN_SO_HANDLE_OOB, 7), 0);
	assert_int_equal(get_int(fd, IPN_SO_HANDLE_OOB), 1);
	assert_int_equal(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 0);
	assert_int_equal(set_int(fd, IPN_SO_WANT_OOB_NUMNODES, 1), 0);
	assert_int_equal(set_int(fd, IPN_SO_HANDLE_OOB, 0), 0);
	assert_int_equal(get_int(fd, IPN_SO_HANDLE_OOB), 0);
	assert_int_equal(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 1);
	ipn_close(fd);
}

static void the_size_can_change(void **state)
{
	int fd = new_socket(IPN_ANY), unbound = new_socket(IPN_ANY);

	(void)state;
	make_inode(0);
	assert_int_equal(set_int(unbound, IPN_SO_CHANGE_NUMNODES, 5), -ENOTCONN);
	assert_int_equal(do_bind(fd, 0), 0);
	assert_int_equal(set_int(fd, IPN_SO_CHANGE_NUMNODES, 0), -EINVAL);
	assert_int_equal(set_int(fd, IPN_SO_CHANGE_NUMNODES, IPN_NET_PORTS + 1), -EINVAL);
	assert_int_equal(get_int(fd, IPN_SO_NUMNODES), 40);
	assert_int_equal(set_int(fd, IPN_SO_CHANGE_NUMNODES, 50), 0);
	assert_int_equal(get_int(fd, IPN_SO_NUMNODES), 50);
	assert_int_equal(get_int(fd, IPN_SO_CHANGE_NUMNODES), 50);
	the_size = 60; /* somebody else did it */
	assert_int_equal(get_int(fd, IPN_SO_NUMNODES), 60);
	refuse = EADDRINUSE;
	assert_int_equal(set_int(fd, IPN_SO_CHANGE_NUMNODES, 1), -EADDRINUSE);
	refuse = ENOTCONN; /* the network is gone: as it was last seen */
	assert_int_equal(get_int(fd, IPN_SO_NUMNODES), 60);
	refuse = 0;
	short_by = 4;
	assert_int_equal(set_int(fd, IPN_SO_CHANGE_NUMNODES, 8), -EPROTO);
	assert_int_equal(get_int(fd, IPN_SO_NUMNODES), -EPROTO);
	ipn_close(fd);
	ipn_close(unbound);
}

static void the_description(void **state)
{
	int fd = new_socket(IPN_ANY);
	char full[129], got[200];
	socklen_t len;

	(void)state;
	make_inode(0);
	memset(full, 'd', 128);
	full[128] = '\0';
	assert_errno(ipn_setsockopt(fd, 0, IPN_SO_DESCR, full, 129), EINVAL);
	assert_int_equal(ipn_setsockopt(fd, 0, IPN_SO_DESCR, full, 128), 0);
	len = 127;
	assert_errno(ipn_getsockopt(fd, 0, IPN_SO_DESCR, got, &len), EINVAL);
	len = sizeof(got);
	assert_int_equal(ipn_getsockopt(fd, 0, IPN_SO_DESCR, got, &len), 0);
	assert_int_equal(len, 128);
	assert_memory_equal(got, full, 128);
	assert_int_equal(do_connect(fd, 0), 0);
	assert_memory_equal(asked_connect.descr, full, 128);

	assert_int_equal(ipn_setsockopt(fd, 0, IPN_SO_DESCR, "web\0rubbish", 11), 0);
	assert_int_equal(fake_seen(&manager, IPN_CTL_DESCR), 1);
	assert_string_equal(asked_descr.descr, "web");
	len = 4;
	assert_int_equal(ipn_getsockopt(fd, 0, IPN_SO_DESCR, got, &len), 0);
	assert_string_equal(got, "web");
	refuse = EPERM;
	assert_errno(ipn_setsockopt(fd, 0, IPN_SO_DESCR, "no", 2), EPERM);
	refuse = 0;
	len = sizeof(got);
	assert_int_equal(ipn_getsockopt(fd, 0, IPN_SO_DESCR, got, &len), 0);
	assert_string_equal(got, "web");
	ipn_close(fd);
}

static void levels(void **state)
{
	int fd = new_socket(IPN_VDESWITCH), v = 1;
	struct timeval tv = { 1, 500000 }, got;
	socklen_t len = sizeof(v);

	(void)state;
	assert_errno(ipn_setsockopt(fd, IPN_VDESWITCH, 0, &v, sizeof(v)), EOPNOTSUPP);
	assert_errno(ipn_getsockopt(fd, IPN_VDESWITCH, 0, &v, &len), EOPNOTSUPP);
	assert_errno(ipn_setsockopt(fd, IPN_VDESWITCH_L3, 0, &v, sizeof(v)), EPROTONOSUPPORT);
	assert_errno(ipn_setsockopt(fd, -1, 0, &v, sizeof(v)), EPROTONOSUPPORT);

	assert_int_equal(ipn_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	len = sizeof(got);
	assert_int_equal(ipn_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
	assert_memory_equal(&got, &tv, sizeof(tv));
	assert_errno(ipn_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, 3), EINVAL);
	assert_errno(ipn_setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &v, sizeof(v)), ENOPROTOOPT);
	len = sizeof(v);
	assert_int_equal(ipn_getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len), 0);
	assert_int_equal(v, 0);
	ipn_close(fd);
}

/* --- bind --- */

static void bind_makes_the_inode_and_the_network(void **state)
{
	int fd = new_socket(IPN_VDESWITCH);
	struct sockaddr_un sun = net_addr(0), got;
	socklen_t len = sizeof(got);
	mode_t mask = umask(027);
	struct stat st;

	(void)state;
	set_int(fd, IPN_SO_MTU, 9000);
	set_int(fd, IPN_SO_NUMNODES, 100);
	set_int(fd, IPN_SO_MSGPOOLSIZE, 64);
	set_int(fd, IPN_SO_MODE, 0772);
	assert_int_equal(do_bind(fd, 0), 0);
	umask(mask);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(asked_nfds, 1);
	assert_int_equal(asked_path.st_ino, st.st_ino);
	assert_int_equal(asked_add.policy, IPN_VDESWITCH);
	assert_int_equal(asked_add.mtu, 9000);
	assert_int_equal(asked_add.numnodes, 100);
	assert_int_equal(asked_add.pool, 64);
	assert_int_equal(asked_add.mode, 0772);
	assert_int_equal(asked_add.persistent, 0);
	assert_string_equal(asked_add.path, sun.sun_path);
	assert_int_equal(ipn_getsockname(fd, (struct sockaddr *)&got, &len), 0);
	assert_int_equal(got.sun_family, AF_IPN);
	assert_string_equal(got.sun_path, sun.sun_path);
	assert_errno(do_bind(fd, 0), EISCONN);
	assert_errno(do_bind(fd, 1), EISCONN);
	ipn_close(fd);
}

static void bind_joins_what_is_there(void **state)
{
	int fd = new_socket(IPN_ANY), other = new_socket(IPN_BROADCAST);

	(void)state;
	make_inode(0);
	assert_int_equal(do_bind(fd, 0), 0);
	assert_int_equal(fake_seen(&manager, IPN_CTL_NET_ADD), 0);
	assert_int_equal(asked_bind.policy, IPN_ANY);
	assert_int_equal(get_int(fd, IPN_SO_MTU), 1000);
	assert_int_equal(do_bind(other, 0), 0);
	assert_int_equal(asked_bind.policy, IPN_BROADCAST);
	assert_true(exists(0));
	ipn_close(fd);
	ipn_close(other);
}

static void bind_failures_leave_nothing(void **state)
{
	static const struct {
		int status, err;
	} t[] = {
		{ EDQUOT, EDQUOT }, { EEXIST, EADDRINUSE }, { ENOTSOCK, EADDRINUSE },
		{ EPERM, EPERM },   { ENOSPC, ENOSPC },     { EINVAL, EINVAL },
	};
	struct sockaddr_un sun = { .sun_family = AF_IPN };
	int fd = new_socket(IPN_BROADCAST), any = new_socket(IPN_ANY);
	char link[128];

	(void)state;
	assert_errno(do_bind(any, 0), EINVAL); /* nothing there, and ANY makes nothing */
	assert_false(exists(0));
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		refuse = t[i].status;
		assert_errno(do_bind(fd, 0), t[i].err);
		assert_false(exists(0));
	}
	refuse = 0;
	short_by = 1;
	assert_errno(do_bind(fd, 0), EPROTO);
	assert_false(exists(0));
	short_by = 0;

	/* what was there stays */
	make_inode(1);
	refuse = ECONNREFUSED;
	assert_errno(do_bind(fd, 1), ECONNREFUSED);
	assert_true(exists(1));
	refuse = 0;

	/* errors of the path pass through */
	strcpy(sun.sun_path, "/nonexistent/net");
	assert_errno(ipn_bind(fd, (struct sockaddr *)&sun, sizeof(sun)), ENOENT);
	strcpy(sun.sun_path, "/dev/null/net");
	assert_errno(ipn_bind(fd, (struct sockaddr *)&sun, sizeof(sun)), ENOTDIR);
	snprintf(link, sizeof(link), "%s/net2", dir);
	assert_int_equal(symlink("/nonexistent", link), 0);
	assert_errno(do_bind(fd, 2), EADDRINUSE);
	sun.sun_family = AF_UNIX;
	assert_errno(ipn_bind(fd, (struct sockaddr *)&sun, sizeof(sun)), EINVAL);

	/* and the descriptor still works */
	assert_int_equal(do_bind(fd, 0), 0);
	ipn_close(fd);
	ipn_close(any);
}

/* --- connect --- */

static void connect_sets_up_the_node(void **state)
{
	int fd = new_socket(IPN_ANY);
	struct sockaddr_un sun = net_addr(0), got;
	socklen_t len = sizeof(got);
	struct ipn_sock *s;

	(void)state;
	make_inode(0);
	assert_int_equal(do_connect(fd, 0), 0);
	assert_int_equal(asked_nfds, 1);
	assert_int_equal(asked_connect.shutdown, 0);
	assert_int_equal(asked_connect.port, IPN_PORTNO_ANY);
	assert_int_equal(sock_get(fd, &s), 0);
	assert_int_equal(s->rx.own, PORT);
	assert_int_equal(s->rx.pool, 16);
	assert_int_equal(s->mtu, 1000);
	assert_int_equal(s->rx.log[RX_NET].cursor, 5);
	assert_int_equal(s->rx.log[RX_NODE].cursor, 6);
	assert_true(fcntl(s->tap, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(s->tap, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(s->rx.bell.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(s->path_fd, F_GETFD) & FD_CLOEXEC);
	sock_put(s);
	assert_int_equal(ipn_getsockname(fd, (struct sockaddr *)&got, &len), 0);
	assert_string_equal(got.sun_path, sun.sun_path);
	assert_int_equal(get_int(fd, IPN_SO_MODE), -1);
	assert_int_equal(get_int(fd, IPN_SO_MSGPOOLSIZE), 16);
	assert_errno(do_connect(fd, 0), EISCONN);
	assert_errno(do_bind(fd, 0), EISCONN);
	ipn_close(fd);
}

static void connect_on_a_bound_descriptor(void **state)
{
	int fd = new_socket(IPN_BROADCAST);

	(void)state;
	make_inode(1);
	assert_int_equal(do_bind(fd, 0), 0);
	assert_errno(do_connect(fd, 1), EINVAL); /* another network */
	assert_errno(do_connect(fd, 2), ENOENT);
	assert_int_equal(ipn_connect(fd, NULL, 0), 0);
	assert_int_equal(asked_nfds, 0);
	ipn_close(fd);
}

static void permissions_and_earlier_shutdowns_close_sides(void **state)
{
	int fd = new_socket(IPN_ANY);
	char c = 0;

	(void)state;
	make_inode(0);
	assert_errno(ipn_shutdown(fd, 3), EINVAL);
	assert_int_equal(ipn_shutdown(fd, SHUT_WR), 0); /* before connect: remembered */
	side_flags = IPN_PF_READER;
	assert_int_equal(do_connect(fd, 0), 0);
	assert_int_equal(asked_connect.shutdown, 2);
	assert_errno(ipn_send(fd, &c, 1, 0), EPIPE);
	assert_errno(ipn_recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
	assert_int_equal(ipn_shutdown(fd, SHUT_WR), 0); /* nothing new: not said again */
	assert_int_equal(fake_seen(&manager, IPN_CTL_SHUTDOWN), 0);
	assert_int_equal(ipn_shutdown(fd, SHUT_RDWR), 0);
	assert_int_equal(asked_shutdown.how, SHUT_RDWR);
	assert_errno(ipn_send(fd, &c, 1, 0), ECONNRESET);
	assert_int_equal(ipn_recv(fd, &c, 1, 0), 0);
	ipn_close(fd);

	fd = new_socket(IPN_ANY);
	side_flags = IPN_PF_WRITER; /* no r permission */
	assert_int_equal(do_connect(fd, 0), 0);
	assert_errno(ipn_recv(fd, &c, 1, 0), EPIPE);
	assert_int_equal(ipn_send(fd, &c, 1, 0), 1);
	ipn_close(fd);
}

/*
 * A manager whose reply cannot be used has its node taken away again, and the next try is as new.
 */
static void connect_failures_undo_everything(void **state)
{
	int fd = new_socket(IPN_ANY), bound = new_socket(IPN_ANY);
	unsigned int before;
	struct ipn_sock *s;

	(void)state;
	make_inode(0);
	assert_int_equal(do_bind(bound, 0), 0);
	assert_errno(do_connect(fd, 1), ENOENT);
	assert_int_equal(do_connect(fd, 0), 0); /* so that all that is made once is there */
	ipn_close(fd);
	fd = new_socket(IPN_ANY);
	before = fake_settled_fds();

	refuse = EADDRNOTAVAIL;
	assert_errno(do_connect(fd, 0), EADDRNOTAVAIL);
	refuse = 0;
	no_log = true;
	assert_errno(do_connect(fd, 0), EPROTO);
	assert_errno(do_connect(bound, 0), EPROTO);
	no_log = false;
	log_mask = 62;
	assert_errno(do_connect(fd, 0), EPROTO);
	log_mask = UINT32_MAX;
	assert_errno(do_connect(fd, 0), EPROTO);
	log_mask = SLOTS - 1;
	assert_int_equal(sock_get(fd, &s), 0);
	assert_int_equal(s->tap, -1);
	assert_null(s->rx.log[RX_NET].base);
	sock_put(s);
	fake_fds_expect(before);
	assert_int_equal(do_connect(fd, 0), 0);
	assert_int_equal(ipn_connect(bound, NULL, 0), 0);
	ipn_close(fd);
	ipn_close(bound);
}

static void messages_flow_once_connected(void **state)
{
	const size_t size = (SLOTS + 2) * IPN_SLOT_ETH;
	int fd = new_socket(IPN_ANY);
	struct ipn_slot *slot;
	char *log, buf[2000];
	struct iovec iov[1100] = { { buf, 3 }, { buf, 0 }, { buf, 4 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };

	(void)state;
	make_inode(0);
	assert_int_equal(do_connect(fd, 0), 0);
	log = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, last_log, 0);
	slot = (struct ipn_slot *)(log + (1 + 5) * IPN_SLOT_ETH);
	slot->len = 5;
	slot->src = 1;
	memcpy(slot->data, "hello", 5);
	((struct ipn_log_head *)log)->head = 6;
	__atomic_store_n(&slot->seq, 6, __ATOMIC_RELEASE);
	assert_int_equal(ipn_recv(fd, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
	munmap(log, size);

	assert_int_equal(ipn_send(fd, buf, 0, 0), 0);
	assert_int_equal(ipn_send(fd, NULL, 0, 0), 0);
	assert_int_equal(ipn_send(fd, buf, 1000, MSG_NOSIGNAL), 1000);
	assert_errno(ipn_send(fd, buf, 1001, 0), EOVERFLOW);
	assert_errno(ipn_send(fd, buf, SIZE_MAX, 0), EOVERFLOW);
	assert_errno(ipn_send(fd, buf, 1, MSG_OOB), EOPNOTSUPP);
	assert_int_equal(ipn_sendmsg(fd, &msg, 0), 7);
	iov[1].iov_len = SIZE_MAX - 2; /* a sum that overflows */
	assert_errno(ipn_sendmsg(fd, &msg, 0), EOVERFLOW);
	iov[1].iov_len = 0;
	msg.msg_iovlen = IOV_MAX + 1;
	assert_errno(ipn_sendmsg(fd, &msg, 0), EMSGSIZE);
	iov[2].iov_len = 2000;
	assert_int_equal(ipn_send_batch(fd, iov, 3, 0), 2);
	assert_errno(ipn_send_batch(fd, iov + 2, 1, 0), EOVERFLOW);
	assert_errno(ipn_send_batch(fd, iov, 0, 0), EINVAL);
	ipn_close(fd);
}

/* --- the manager dies and another takes over --- */

static void a_new_manager_gets_its_nodes_back(void **state)
{
	int connected = ipn_socket(AF_IPN, SOCK_RAW | SOCK_NONBLOCK, IPN_ANY);
	int bound = new_socket(IPN_BROADCAST), fresh = new_socket(IPN_BROADCAST);
	struct timeval tv = { 3, 0 }, got;
	socklen_t len = sizeof(got);
	char c = 0;

	(void)state;
	assert_int_equal(do_bind(bound, 0), 0);
	assert_int_equal(do_connect(connected, 0), 0);
	assert_int_equal(ipn_setsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);

	fake_manager_die(&manager);
	/* data goes on, requests do not */
	assert_int_equal(ipn_send(connected, &c, 1, 0), 1);
	assert_errno(ipn_recv(connected, &c, 1, 0), EAGAIN);
	assert_errno(ipn_setsockopt(connected, 0, IPN_SO_DESCR, "a", 1), ENETDOWN);
	assert_errno(do_bind(fresh, 1), ENETDOWN);
	assert_false(exists(1));
	assert_int_equal(set_int(fresh, IPN_SO_MTU, 99), 0);

	fake_manager_listen(&manager);
	assert_int_equal(ipn_setsockopt(connected, 0, IPN_SO_DESCR, "a", 1), 0);
	assert_int_equal(fake_seen(&manager, IPN_CTL_REJOIN), 1);
	assert_int_equal(fcntl(connected, F_GETFD), 0);
	assert_true(fcntl(connected, F_GETFL) & O_NONBLOCK);
	assert_int_equal(ipn_getsockopt(connected, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
	assert_memory_equal(&got, &tv, sizeof(tv));

	assert_int_equal(ipn_connect(bound, NULL, 0), 0);
	assert_int_equal(fake_seen(&manager, IPN_CTL_BIND), 1);
	assert_int_equal(asked_nfds, 0);
	assert_int_equal(fcntl(bound, F_GETFD), FD_CLOEXEC);

	assert_int_equal(do_bind(fresh, 1), 0);
	assert_int_equal(asked_add.mtu, 99);
	assert_int_equal(ipn_close(connected), 0);
	assert_int_equal(ipn_close(bound), 0);
	assert_int_equal(ipn_close(fresh), 0);
}

/* --- threads --- */

static void *churn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		int fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);
		char c = 0;

		if (fd < 0)
			abort();
		ipn_setsockopt(fd, 0, IPN_SO_DESCR, "x", 1);
		ipn_recv(fd, &c, 1, 0);
		ipn_close(fd);
	}
	return NULL;
}

/* Uses numbers that the others open and close. */
static void *disturb(void *arg)
{
	const int *stop = arg;
	char c = 0;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		for (int fd = 0; fd < 40; fd++)
			ipn_recv(fd, &c, 1, MSG_DONTWAIT);
	}
	return NULL;
}

static void descriptors_come_and_go_in_many_threads(void **state)
{
	pthread_t threads[3], disturber;
	int stop = 0;

	(void)state;
	assert_int_equal(pthread_create(&disturber, NULL, disturb, &stop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(disturber, NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(socket_arguments),
		T(descriptors_that_are_none_of_ours),
		T(a_reused_number_is_noticed),
		T(calls_before_connect),
		T(addresses),
		T(network_options),
		T(node_options),
		T(the_size_can_change),
		T(the_description),
		T(levels),
		T(bind_makes_the_inode_and_the_network),
		T(bind_joins_what_is_there),
		T(bind_failures_leave_nothing),
		T(connect_sets_up_the_node),
		T(connect_on_a_bound_descriptor),
		T(permissions_and_earlier_shutdowns_close_sides),
		T(connect_failures_undo_everything),
		T(messages_flow_once_connected),
		T(a_new_manager_gets_its_nodes_back),
		T(descriptors_come_and_go_in_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
