// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Clients of the manager, on the stub kernel: sequences of requests over several sessions of two
 * users, with descriptors of every kind, among VDE clients, interfaces that come and go, calls of
 * the kernel that fail, and a manager that dies.
 *
 * An input is a row of steps. One manager serves all inputs: at the end of each its clients go, its
 * networks are removed, and what is left must be nothing. After each step that says so, and at the
 * end, the maps must agree with the manager's objects (tests/control/check.c).
 */
#include "../control/rig.h"
#include "fuzz.h"

#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "manager/access/asuser.h"
#include "manager/access/quota.h"
#include "manager/control/request.h"
#include "manager/core/interfaces.h"
#include "manager/core/net.h"
#include "manager/kernel/bpf.h"
#include "manager/ports/listener.h"
#include "manager/ports/vde_proto.h"

#define STEPS 40
#define SESSIONS 4
#define STREAMS 3
#define INODES 3
#define UID 1000
#define FDS_MOST 100
#define RESTARTS 1 /* in one input: they take long */

enum step {
	STEP_OPEN,
	STEP_CLOSE,
	STEP_CALL,  /* a request that is well-formed */
	STEP_CALL2, /* so most are */
	STEP_CALL3,
	STEP_RAW, /* any bytes */
	STEP_VDE,
	STEP_VDE_BYTES,
	STEP_VDE_CLOSE,
	STEP_INTERFACE,
	STEP_FAIL,
	STEP_RESTART,
	STEP_CHECK,
	STEP_TAP, /* its process lets go of it */
	STEP_KINDS,
};

/* Descriptors that clients send. */
enum kind {
	KIND_PATH0,
	KIND_PATH1,
	KIND_PATH2,
	KIND_NETNS,
	KIND_FILE,
	KIND_SOCKET,
	KIND_DIR,
	KIND_PIPE,
	KIND_EPOLL,
	KIND_TAP,
	KIND_SELF,
	KIND_NULL,
	KINDS,
};

static struct rig rig;
static int kinds[KINDS];
static int sessions[SESSIONS], streams[STREAMS], tap = -1;
static unsigned int restarts;
static bool failed; /* a call of the kernel, since the manager started */
static unsigned int inputs;

/* Policies are loaded by a process: that is tests/fuzz/elf_fuzz.c, result_fuzz.c. */
pid_t fork(void)
{
	errno = EAGAIN;
	return -1;
}

/* --- the manager --- */

static void start(void)
{
	CHECK(!rig_start(&rig));
	/* descriptors of clients are closed at once: threads would take most of the time */
	free(rig.f.async_close);
	rig.f.async_close = NULL;
	rig_run(&rig);
}

static void on_exit_free(void)
{
	rig_settle(&rig);
	rig_free(&rig);
}

static void kinds_open(void)
{
	static const char *const names[INODES] = { "n0", "n1", "n2" };
	int ends[2];

	for (int i = 0; i < INODES; i++)
		kinds[KIND_PATH0 + i] = rig_inode(&rig, names[i], i == 2 ? 0750 : 0777);
	kinds[KIND_NETNS] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	kinds[KIND_FILE] = memfd_create("file", MFD_CLOEXEC);
	kinds[KIND_DIR] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	kinds[KIND_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	kinds[KIND_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends));
	kinds[KIND_SOCKET] = ends[0];
	CHECK(!pipe2(ends, O_CLOEXEC));
	kinds[KIND_PIPE] = ends[1];
	kinds[KIND_TAP] = kinds[KIND_SELF] = -1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("CMOCKA_TEST_ABORT", "1", 1); /* what fails in check.c ends here */
	stub_asuser_threads(true);
	rig_new(&rig);
	rig.no_fdstore = true;
	start();
	kinds_open();
	atexit(on_exit_free);
	return 0;
}

/* --- requests --- */

static void name_take(struct input *in, char *out, size_t size)
{
	static const char *const names[] = { "",  "op0", "op1", "eth0", "%d",      "a/b",
					     "a", "b",   "c",   "..",   "\xff\xfe" };
	uint8_t at = take8(in);

	if (at & 0x80)
		memset(out, 'x', size); /* without an end */
	else
		snprintf(out, size, "%s", names[at % ARRAY_SIZE(names)]);
}

static void path_take(struct input *in, char *out, size_t size)
{
	static const char *const names[] = { "d0", "d1", "s0", "s1", "n0", "none/d", "", ".." };
	uint8_t at = take8(in);

	if (at & 0x80)
		memset(out, '/', size);
	else
		snprintf(out, size, "%s", rig_path(&rig, names[at % ARRAY_SIZE(names)]));
}

static __s32 port_take(struct input *in)
{
	uint8_t at = take8(in);

	return at < 16 ? at : at < 128 ? IPN_PORTNO_ANY : (__s32)take32(in);
}

static void net_add_fill(struct input *in, struct ipn_ctl_net_add *add)
{
	static const __u32 flags[] = { 0, IPN_FLAG_LOSSLESS, 0xffffffff, 2 };

	add->policy = 1 + take8(in) % 3;
	add->numnodes = take8(in) % 20;
	add->flags = flags[take8(in) % ARRAY_SIZE(flags)];
	add->persistent = take8(in) & 1;
	add->mode = 0777;
	path_take(in, add->path, sizeof(add->path));
}

static void attach_fill(struct input *in, struct ipn_ctl_attach *attach)
{
	attach->kind = take8(in) % (IPN_KINDS + 1);
	attach->port = port_take(in);
	name_take(in, attach->name, sizeof(attach->name));
	attach->own = take8(in) & 1;
}

static void netdev_fill(struct input *in, struct ipn_ctl_netdev *dev)
{
	dev->op = take8(in) % 7;
	dev->flags = take8(in) & 7;
	dev->ifindex = take8(in) % 24;
	dev->port = port_take(in);
	name_take(in, dev->name, sizeof(dev->name));
}

static void listener_fill(struct input *in, struct ipn_ctl_listener *want)
{
	want->op = take8(in) % 4;
	want->mode = take8(in) & 1 ? 0777 : 0600;
	want->port = port_take(in);
	path_take(in, want->path, sizeof(want->path));
	if (take8(in) & 1)
		path_take(in, want->peer, sizeof(want->peer));
}

static void option_fill(struct input *in, struct ipn_ctl_option *option)
{
	option->level = take8(in) & 1 ? IPN_POLICY_L3 : take8(in);
	option->name = take8(in);
	option->len = take8(in);
	take(in, option->data, take8(in) % 64);
}

/* The bodies of those that would have nothing to do with zeros. */
static void body_fill(struct input *in, __u16 type, __u8 *body)
{
	switch (type) {
	case IPN_CTL_NET_ADD:
		net_add_fill(in, (void *)body);
		break;
	case IPN_CTL_CONNECT:
		((struct ipn_ctl_connect *)(void *)body)->port = port_take(in);
		((struct ipn_ctl_connect *)(void *)body)->shutdown = take8(in) & 3;
		break;
	case IPN_CTL_ATTACH:
		attach_fill(in, (void *)body);
		break;
	case IPN_CTL_NETDEV:
		netdev_fill(in, (void *)body);
		break;
	case IPN_CTL_VDE:
	case IPN_CTL_UNIX:
		listener_fill(in, (void *)body);
		break;
	case IPN_CTL_SETSOCKOPT:
	case IPN_CTL_GETSOCKOPT:
	case IPN_CTL_IOCTL:
		option_fill(in, (void *)body);
		break;
	case IPN_CTL_CABLE:
		((struct ipn_ctl_cable *)(void *)body)->port[0] = port_take(in);
		((struct ipn_ctl_cable *)(void *)body)->port[1] = port_take(in);
		break;
	case IPN_CTL_XSK_OPEN:
		((struct ipn_ctl_xsk_open *)(void *)body)->port = port_take(in);
		break;
	default:
		take(in, body, 8);
	}
}

/* What does not stand where it should: any bytes at some places. */
static void body_spoil(struct input *in, __u8 *body, size_t len)
{
	for (int n = take8(in) % 4; n && len; n--) {
		size_t at = (take8(in) | (size_t)take8(in) << 8) % len;

		body[at] = take8(in);
	}
}

static unsigned int fds_take(struct input *in, int *fds, unsigned int n, int self)
{
	for (unsigned int i = 0; i < n; i++) {
		uint8_t kind = take8(in) % KINDS;

		fds[i] = kind == KIND_TAP ? tap : kind == KIND_SELF ? self : kinds[kind];
		if (fds[i] < 0)
			fds[i] = kinds[KIND_NULL];
	}
	return n;
}

/* A client that reads what it gets; the last tap it keeps. */
static void replies_read(int s)
{
	static struct reply reply;

	while (s >= 0 && !ctl_recv(s, &reply)) {
		if (reply.nfds && reply.hdr.type == IPN_CTL_CONNECT) {
			util_close_fd(&tap);
			tap = reply.fds[0];
			reply.fds[0] = reply.fds[--reply.nfds];
		}
		reply_close(&reply);
	}
}

static void step_call(struct input *in, int s)
{
	static alignas(8) __u8 packet[IPN_CTL_MAX_PACKET];
	struct ipn_ctl_hdr *hdr = (void *)packet;
	uint8_t odd = take8(in);
	__u16 type = take8(in) % IPN_CTL_TYPES;
	const struct request_kind *row = &request_kinds[type];
	unsigned int n = row->min_fds;
	int fds[8];

	if (type == IPN_CTL_DOWN || s < 0)
		return;
	memset(packet, 0, sizeof(*hdr) + row->body);
	*hdr = (struct ipn_ctl_hdr){ .magic = IPN_CTL_MAGIC,
				     .version = IPN_CTL_VERSION,
				     .type = type,
				     .id = 1,
				     .len = (__u32)(sizeof(*hdr) + row->body) };
	if (row->fn && row->body)
		body_fill(in, type, packet + sizeof(*hdr));
	if (odd & 1)
		body_spoil(in, packet, hdr->len);
	if (odd & 2)
		n = row->max_fds;
	if (odd & 4)
		n = take8(in) % 9;
	n = fds_take(in, fds, n, s);
	ctl_send(s, packet, sizeof(*hdr) + row->body, fds, n);
	if (odd & 0x80)
		return; /* more is said before the manager hears it */
	rig_run(&rig);
	replies_read(s);
}

static void step_raw(struct input *in, int s)
{
	__u8 bytes[256];
	size_t len = take8(in);
	int fds[200];
	unsigned int n = take8(in);

	take(in, bytes, len);
	n = fds_take(in, fds, n < 16 ? n : n == 255 ? 200 : 0, s);
	if (s >= 0)
		ctl_send(s, bytes, len, fds, n);
	rig_run(&rig);
}

/* --- others --- */

/* Who connects is who counts; the manager hears of it afterwards, as root. */
static void step_open(int *s, bool root)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	if (*s >= 0)
		return;
	*s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig_path(&rig, IPN_CTL_SOCKET));
	if (!root)
		syscall(SYS_setresuid, -1, UID, -1);
	r = connect(*s, (void *)&addr, sizeof(addr));
	if (!root)
		syscall(SYS_setresuid, -1, 0, -1);
	CHECK(!r);
	rig_run(&rig);
}

static void step_vde(struct input *in, int *stream)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	util_close_fd(stream);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/ctl",
		 rig_path(&rig, take8(in) & 1 ? "d1" : "d0"));
	*stream = s;
	if (connect(s, (void *)&addr, sizeof(addr))) {
		close(s);
		*stream = -1;
	}
	rig_run(&rig);
}

static void step_vde_bytes(struct input *in, int stream)
{
	struct {
		__u32 head[3];
		struct sockaddr_un addr;
		char descr[80];
	} __attribute__((packed)) request = { .head = { VDE_MAGIC, VDE_VERSION } };
	uint8_t odd = take8(in);
	size_t len = odd & 1 ? take8(in) % sizeof(request) : VDE_REQUEST_MIN + odd % 32;

	request.addr.sun_family = AF_UNIX;
	request.head[2] = (__u32)(odd >> 6) << 8;
	if (odd & 2)
		path_take(in, request.addr.sun_path, sizeof(request.addr.sun_path));
	else
		take(in, request.addr.sun_path, 8);
	if (odd & 4)
		body_spoil(in, (void *)&request, sizeof(request));
	if (stream >= 0)
		send_with_fds(stream, &request, len, odd & 8 ? 3 : 0);
	rig_run(&rig);
}

static void step_interface(struct input *in)
{
	uint8_t what = take8(in), n = take8(in) % 32;
	const struct stub_if *i = stub_if_first();

	while (i && n--)
		i = i->next;
	if (what % 4 == 0 && !stub_if_find("eth0"))
		stub_if_add("eth0");
	else if (what % 4 == 1)
		stub_watch_lost();
	else if (i && i->ifindex != rig.f.bpf->abi.segmenter &&
		 i->ifindex != rig.f.bpf->abi.segmenter_out) {
		if (what % 4 == 2)
			stub_if_del(i->ifindex);
		else
			stub_if_running(i->ifindex, what & 4);
	}
	rig_run(&rig);
}

static void sessions_end(void)
{
	for (int i = 0; i < SESSIONS; i++) {
		util_close_fd(&sessions[i]);
		sessions[i] = -1;
	}
	for (int i = 0; i < STREAMS; i++) {
		util_close_fd(&streams[i]);
		streams[i] = -1;
	}
}

/* Not while a thread makes an AF_XDP socket: it tries for seconds, and is lost with the manager. */
static bool again(void)
{
	rig_run(&rig);
	if (rig_busy(&rig))
		return false;
	rig_run(&rig);
	rig_stop(&rig);
	start();
	failed = false;
	return true;
}

static void step_restart(void)
{
	if (restarts++ >= RESTARTS)
		return;
	failed |= stub_has_failed();
	stub_fail(NULL, 0, 0);
	if (!again())
		return;
	sessions_end();
	rig_run(&rig);
}

/*
 * What cannot be undone, since a call fails for that, is left to the next manager. Interfaces that
 * their processes hold still are ended a moment later.
 */
static void agree(void)
{
	failed |= stub_has_failed();
	stub_fail(NULL, 0, 0);
	rig_run(&rig);
	if (failed)
		return;
	interfaces_orphans_end(&rig.f);
	rig_run(&rig);
	rig_check(&rig);
}

/* A call that can fail in the kernel, too: arrays are always there to be read and written. */
static void step_fail(struct input *in, uint8_t which)
{
	static const int errors[] = { ENOMEM, EBUSY, ENOSPC, EPERM };
	static const char *const calls[] = {
		"map_create", "map_freeze",    "map_get_fd_by_id", "obj_get",
		"obj_pin",    "link_create",   "link_new",         "link_finish",
		"link_get",   "link_tap_proc", "link_tap_vm",      "link_each",
		"tc_attach",  "xsk_umem",      "xsk_socket",       "ring_buffer_new",
		"prog_run",   "mkdir",         "tc_hook_create",
	};

	failed |= stub_has_failed();
	stub_fail(calls[take8(in) % ARRAY_SIZE(calls)], 1 + which % 32,
		  errors[which / 32 % ARRAY_SIZE(errors)]);
}

static void step(struct input *in)
{
	uint8_t what = take8(in), which = take8(in);
	int *s = &sessions[which % SESSIONS], *stream = &streams[which % STREAMS];

	switch ((enum step)(what % STEP_KINDS)) {
	case STEP_OPEN:
		step_open(s, which % SESSIONS < 2);
		break;
	case STEP_CLOSE:
		util_close_fd(s);
		*s = -1;
		if (which & 0x80)
			rig_run(&rig);
		break;
	case STEP_CALL:
	case STEP_CALL2:
	case STEP_CALL3:
		step_open(s, which % SESSIONS < 2);
		step_call(in, *s);
		break;
	case STEP_RAW:
		step_raw(in, *s);
		break;
	case STEP_VDE:
		step_vde(in, stream);
		break;
	case STEP_VDE_BYTES:
		step_vde_bytes(in, *stream);
		break;
	case STEP_VDE_CLOSE:
		util_close_fd(stream);
		*stream = -1;
		rig_run(&rig);
		break;
	case STEP_INTERFACE:
		step_interface(in);
		break;
	case STEP_FAIL:
		step_fail(in, which);
		break;
	case STEP_RESTART:
		if (which < 32)
			step_restart();
		break;
	case STEP_CHECK:
		agree();
		break;
	case STEP_TAP:
		util_close_fd(&tap);
		tap = -1;
		rig_run(&rig);
		break;
	case STEP_KINDS:
		break;
	}
}

/* --- the end of an input --- */

static void nothing_left(void)
{
	const struct user *root = user_get(rig.f.users, 0), *u = user_get(rig.f.users, UID);

	CHECK(!rig.f.nets);
	CHECK(!rig.f.nodes);
	CHECK(!rig.f.listeners);
	CHECK(!rig.control->sessions);
	for (int i = 0; i < QUOTAS; i++) {
		if (i == QUOTA_MEMORY && (root->held || u->held))
			continue;
		CHECK(!root->has[i] && !u->has[i]);
	}
	if (!failed)
		CHECK(!stub_count("ipn_port_in") && !stub_count("ipn_net_info"));
}

static void clean(void)
{
	struct errtext e;

	sessions_end();
	util_close_fd(&tap);
	tap = -1;
	agree();
	if (failed && again())
		agree();
	while (rig.f.listeners) {
		CHECK(!listener_close(rig.f.listeners->net, rig.f.listeners->info.path, NULL, &e));
		rig_run(&rig);
	}
	while (rig.f.nets)
		net_del(rig.f.nets);
	interfaces_orphans_end(&rig.f);
	if (stub_if_find("eth0"))
		stub_if_del(stub_if_find("eth0")->ifindex);
	rig_run(&rig);
	nothing_left();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!inputs)
		rig_threads(&rig); /* libFuzzer has one of its own by now */
	for (int i = 0; i < SESSIONS; i++)
		sessions[i] = -1;
	for (int i = 0; i < STREAMS; i++)
		streams[i] = -1;
	restarts = 0;
	for (int i = 0; in.left && i < STEPS; i++)
		step(&in);
	clean();
	/* now and then, since it takes long; xsk jobs and helpers end a moment later */
	if (++inputs % 64 == 0)
		CHECK(rig_fds() < FDS_MOST);
	return 0;
}
