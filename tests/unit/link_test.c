/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces, in a network namespace of the test's own. Needs root, /dev/net/tun, ip(8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/text.h"
#include "common/util.h"
#include "manager/kernel/link.h"

#define GROUP 0x49504e

static struct link_ctx *ctx;
static int here;  /* our namespace */
static int there; /* another one */

/* --- helpers ------------------------------------------------------------------------------- */

static int netns_open(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A link_ctx in another namespace. */
static struct link_ctx *ctx_in(int netns)
{
	struct link_ctx *other;

	assert_int_equal(setns(netns, CLONE_NEWNET), 0);
	assert_int_equal(link_ctx_new(&other, GROUP), 0);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	return other;
}

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

struct find {
	const char *name;
	struct link_info info;
	int count;
};

static int find_one(const struct link_info *info, void *arg)
{
	struct find *f = arg;

	f->count++;
	if (f->name && !strcmp(info->name, f->name))
		f->info = *info;
	return 0;
}

static int links_count(struct link_ctx *c)
{
	struct find f = { .name = NULL };

	assert_int_equal(link_each(c, find_one, &f), 0);
	return f.count;
}

static struct link_info link_named(struct link_ctx *c, const char *name)
{
	struct find f = { .name = name };

	assert_int_equal(link_each(c, find_one, &f), 0);
	return f.info;
}

/* IPv6 addresses of an interface of the present namespace. */
static int ipv6_addresses(const char *name)
{
	FILE *f = fopen("/proc/thread-self/net/if_inet6", "re");
	char line[128];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char device[IFNAMSIZ];

		assert_int_equal(sscanf(line, "%*s %*s %*s %*s %*s %15s", device), 1);
		n += !strcmp(device, name);
	}
	fclose(f);
	return n;
}

static int packet_socket(__u32 ifindex)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)ifindex,
	};
	int one = 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static bool readable(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1;
}

static void assert_fabric_end(const struct link_info *info)
{
	assert_int_equal(info->group, GROUP);
	assert_int_equal(info->flags & (IFF_UP | IFF_NOARP | IFF_MULTICAST), IFF_UP | IFF_NOARP);
	assert_int_equal(ipv6_addresses(info->name), 0);
}

/* --- names --------------------------------------------------------------------------------- */

static void names(void **state)
{
	static const char *const good[] = { "a",   "eth0",     "0123456789abcde", "a.b",
					    "...", "\xc3\xa9", "a-b_c@" };
	static const char *const bad[] = { "",    ".",   "..",   "0123456789abcdef",
					   "a b", "a/b", "a:b",  "a\n",
					   "\ta", "%d",  "a%db", "\xa0" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(text_ifname_ok(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_ifname_ok(bad[i]));
}

/* --- taps ---------------------------------------------------------------------------------- */

static void proc_tap_lives_as_long_as_its_descriptor(void **state)
{
	struct link_info info;
	char name[IPN_NAME_MAX];
	char buf[64];
	__u32 ifindex;
	int fd;

	assert_int_equal(link_tap_proc(ctx, "ipnp%d", 2014, &fd, &ifindex, name), 0);
	assert_string_equal(name, "ipnp0");
	assert_int_equal(link_get(ctx, ifindex, &info), 0);
	assert_int_equal(info.ifindex, ifindex);
	assert_string_equal(info.name, name);
	assert_string_equal(info.kind, "tun");
	assert_int_equal(info.mtu, 2014);
	assert_true(info.running);
	assert_fabric_end(&info);

	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(fd, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	/* No vnet header: a frame of 14 bytes is a frame. */
	memset(buf, 0, sizeof(buf));
	assert_int_equal(write(fd, buf, 14), 14);

	close(fd);
	assert_int_equal(link_get(ctx, ifindex, &info), -ENODEV);
}

static void proc_taps_never_join_an_existing_one(void **state)
{
	struct link_info first;
	char name[IPN_NAME_MAX] = "old";
	__u32 ifindex = 77;
	__u32 index[2];
	int fd = 99;
	int fds[2];

	/* A persistent one that is free to be opened. */
	run("ip tuntap add dev ipnp0 mode tap");
	first = link_named(ctx, "ipnp0");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(link_tap_proc(ctx, "ipnp%d", 100, &fds[i], &index[i], name), 0);
		assert_int_not_equal(index[i], first.ifindex);
	}
	assert_string_equal(name, "ipnp2");

	/* Without a number the name is taken; what was there stays as it was. */
	assert_int_equal(link_tap_proc(ctx, "ipnp0", 100, &fd, &ifindex, name), -EEXIST);
	assert_int_equal(fd, 99);
	assert_int_equal(ifindex, 77);
	assert_string_equal(name, "ipnp2");
	assert_int_equal(link_named(ctx, "ipnp0").ifindex, first.ifindex);
	assert_int_not_equal(link_named(ctx, "ipnp0").group, GROUP);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(link_del(ctx, first.ifindex), 0);
}

static void mtu_is_clamped_to_what_the_device_can(void **state)
{
	static const struct {
		__u32 mtu;
		__u32 tap;
		__u32 veth;
	} rows[] = {
		{ 0, 68, 68 },           { 67, 68, 68 },          { 68, 68, 68 },
		{ 1279, 1279, 1279 },    { 1500, 1500, 1500 },    { 65521, 65521, 65521 },
		{ 65522, 65521, 65522 }, { 65535, 65521, 65535 }, { UINT32_MAX, 65521, 65535 },
	};
	struct link_info info;
	char name[IPN_NAME_MAX];
	__u32 ifindex;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(link_tap_proc(ctx, "t%d", rows[i].mtu, &fd, &ifindex, name), 0);
		assert_int_equal(link_get(ctx, ifindex, &info), 0);
		assert_int_equal(info.mtu, rows[i].tap);
		assert_fabric_end(&info);
		close(fd);
	}

	/* And when it changes, without IPv6 coming back to life. */
	assert_int_equal(link_tap_proc(ctx, "t%d", 500, &fd, &ifindex, name), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(link_set_mtu(ctx, ifindex, rows[i].mtu), 0);
		assert_int_equal(link_get(ctx, ifindex, &info), 0);
		assert_int_equal(info.mtu, rows[i].tap);
		assert_fabric_end(&info);
		assert_int_equal(link_set_mtu(ctx, ifindex, 500), 0);
	}
	close(fd);

	assert_int_equal(link_veth(ctx, "v%d", "far", -1, 500, LINK_GSO_BIG, &ifindex), 0);
	assert_int_equal(link_set_up(ctx, ifindex), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(link_set_mtu(ctx, ifindex, rows[i].mtu), 0);
		assert_int_equal(link_get(ctx, ifindex, &info), 0);
		assert_int_equal(info.mtu, rows[i].veth);
	}
	assert_int_equal(link_set_mtu(ctx, 999999, 1500), -ENODEV);
	assert_int_equal(link_del(ctx, ifindex), 0);
}

static int tap_open_as(uid_t uid, const char *name)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
		char buf[10 + 14] = { 0 };
		int fd = open("/dev/net/tun", O_RDWR);

		if (fd < 0 || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
			_exit(1);
		util_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name);
		if (ioctl(fd, TUNSETIFF, &ifr))
			_exit(errno == EPERM ? 2 : 3);
		_exit(write(fd, buf, sizeof(buf)) == sizeof(buf) ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void vm_tap_is_for_its_owner(void **state)
{
	struct link_info info;
	__u32 ifindex = 7;
	__u32 other = 7;

	assert_int_equal(link_tap_vm(ctx, "vm0", 1001, 1500, &ifindex), 0);
	assert_int_equal(link_get(ctx, ifindex, &info), 0);
	assert_string_equal(info.name, "vm0");
	assert_int_equal(info.mtu, 1500);
	assert_false(info.running);
	assert_fabric_end(&info);

	assert_int_equal(tap_open_as(1001, "vm0"), 0);
	assert_int_equal(tap_open_as(1002, "vm0"), 2);
	assert_int_equal(link_get(ctx, ifindex, &info), 0);

	assert_int_equal(link_tap_vm(ctx, "vm0", 1001, 1500, &other), -EEXIST);
	assert_int_equal(link_tap_vm(ctx, "lo", 1001, 1500, &other), -EEXIST);
	assert_int_equal(link_tap_vm(ctx, "vm%d", 1001, 1500, &other), -EINVAL);
	assert_int_equal(link_tap_vm(ctx, "", 1001, 1500, &other), -EINVAL);
	assert_int_equal(other, 7);
	assert_int_equal(link_del(ctx, ifindex), 0);
	assert_int_equal(link_del(ctx, ifindex), -ENODEV);
	assert_int_equal(link_get(ctx, ifindex, &info), -ENODEV);
}

/* --- veth ---------------------------------------------------------------------------------- */

static void veth_reaches_into_another_namespace(void **state)
{
	struct link_ctx *other = ctx_in(there);
	struct link_info near;
	struct link_info far;
	char frame[60] = { 0 };
	__u32 ifindex;
	int in;
	int out;

	assert_int_equal(link_veth(ctx, "ipnv%d", "eth0", there, 9000, LINK_GSO_BIG, &ifindex), 0);
	assert_int_equal(link_get(ctx, ifindex, &near), 0);
	assert_false(near.flags & IFF_UP); /* until its program is there */
	assert_int_equal(link_set_up(ctx, ifindex), 0);
	assert_int_equal(link_get(ctx, ifindex, &near), 0);
	assert_string_equal(near.name, "ipnv0");
	assert_string_equal(near.kind, "veth");
	assert_int_equal(near.mtu, 9000);
	assert_true(near.running);
	assert_fabric_end(&near);
	assert_int_equal(near.gso, LINK_GSO_BIG);

	/* The far end is an ordinary interface. */
	assert_int_equal(link_named(ctx, "eth0").ifindex, 0);
	far = link_named(other, "eth0");
	assert_int_not_equal(far.ifindex, 0);
	assert_int_equal(far.mtu, 9000);
	assert_int_equal(far.gso, LINK_GSO_BIG);
	assert_int_equal(near.peer, far.ifindex);
	assert_int_equal(far.peer, ifindex);
	assert_int_equal(far.group, 0);
	assert_int_equal(far.flags & (IFF_UP | IFF_NOARP), IFF_UP);
	assert_true(far.running);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	/* The address comes with the carrier, which the kernel tells a little later. */
	for (int i = 0; i < 2000 && !ipv6_addresses("eth0"); i++)
		usleep(10000);
	assert_int_equal(ipv6_addresses("eth0"), 1);
	in = packet_socket(far.ifindex);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);

	out = packet_socket(ifindex);
	memset(frame, 0xff, 6);
	assert_int_equal(send(out, frame, sizeof(frame), 0), sizeof(frame));
	assert_true(readable(in, 1000));
	close(in);
	close(out);

	assert_int_equal(link_del(ctx, ifindex), 0);
	assert_int_equal(link_named(other, "eth0").ifindex, 0);
	link_ctx_free(other);
}

static void make_plain(struct link_ctx *other, void *arg)
{
	*(int *)arg = link_set_gso(other, link_named(other, "eth0").ifindex, LINK_GSO_PLAIN);
}

static void a_visit_comes_back(void **state)
{
	struct link_ctx *other = ctx_in(there);
	__u32 before, after, inode, ifindex;
	int r = -1, fds[2];

	assert_int_equal(link_netns_inode(&before), 0);
	assert_int_equal(link_veth(ctx, "ipnv%d", "eth0", there, 1500, LINK_GSO_BIG, &ifindex), 0);
	assert_int_equal(link_set_up(ctx, ifindex), 0);
	assert_int_equal(link_netns_visit(there, make_plain, &r), 0);
	assert_int_equal(r, 0);
	assert_int_equal(link_named(other, "eth0").gso, LINK_GSO_PLAIN);
	assert_int_equal(link_netns_inode(&after), 0);
	assert_int_equal(before, after);
	assert_int_equal(link_netns_inode_of(there, &inode), 0);
	assert_int_not_equal(inode, before);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(link_netns_visit(fds[0], make_plain, &r), -EINVAL);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(link_del(ctx, ifindex), 0);
	link_ctx_free(other);
	(void)state;
}

static void veth_fails_without_traces(void **state)
{
	struct link_ctx *other = ctx_in(there);
	int links = links_count(ctx);
	int links_there = links_count(other);
	__u32 ifindex = 7;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(link_veth(ctx, "ipnv%d", "lo", -1, 1500, LINK_GSO_BIG, &ifindex), -EEXIST);
	assert_int_equal(link_veth(ctx, "ipnv%d", "lo", there, 1500, LINK_GSO_BIG, &ifindex),
			 -EEXIST);
	assert_int_equal(link_veth(ctx, "ipnv%d", "a/b", there, 1500, LINK_GSO_BIG, &ifindex),
			 -EINVAL);
	assert_int_equal(link_veth(ctx, "ipnv%d", "e%d", there, 1500, LINK_GSO_BIG, &ifindex),
			 -EINVAL);
	assert_int_equal(link_veth(ctx, "ipnv%d", "e", fds[0], 1500, LINK_GSO_BIG, &ifindex),
			 -EBADF);
	assert_int_equal(link_veth(ctx, "ipnv%d", "e", 9999, 1500, LINK_GSO_BIG, &ifindex), -EBADF);
	/* The last step, when both ends are there. */
	assert_int_equal(link_veth(ctx, "a/%d", "eth0", there, 1500, LINK_GSO_BIG, &ifindex),
			 -EINVAL);
	assert_int_equal(link_veth(ctx, "lo", "eth0", there, 1500, LINK_GSO_BIG, &ifindex),
			 -EEXIST);
	assert_int_equal(link_segmenter(ctx, "a/%d", "b%d", &ifindex, &ifindex), -EINVAL);
	assert_int_equal(link_segmenter(ctx, "a%d", "b/%d", &ifindex, &ifindex), -EINVAL);
	assert_int_equal(ifindex, 7);
	assert_int_equal(links_count(ctx), links);
	assert_int_equal(links_count(other), links_there);
	close(fds[0]);
	close(fds[1]);
	link_ctx_free(other);
}

#define THREADS 4
#define PAIRS 4

struct maker {
	pthread_t thread;
	int id;
	int r;
	__u32 ifindex[PAIRS];
};

static void *maker_run(void *arg)
{
	struct maker *m = arg;
	struct link_ctx *own;

	m->r = link_ctx_new(&own, GROUP);
	for (int i = 0; i < PAIRS && m->r == 0; i++) {
		char name[IPN_NAME_MAX];

		snprintf(name, sizeof(name), "far%d.%d", m->id, i);
		m->r = link_veth(own, "ipnv%d", name, -1, 1500, LINK_GSO_BIG, &m->ifindex[i]);
	}
	link_ctx_free(own);
	return NULL;
}

static void makers_do_not_disturb_each_other(void **state)
{
	static struct maker makers[THREADS];
	int seen = 0;

	for (int i = 0; i < THREADS; i++) {
		makers[i].id = i;
		assert_int_equal(pthread_create(&makers[i].thread, NULL, maker_run, &makers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(makers[i].thread, NULL);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(makers[i].r, 0);
		for (int j = 0; j < PAIRS; j++) {
			struct link_info info;
			int number;

			assert_int_equal(link_get(ctx, makers[i].ifindex[j], &info), 0);
			assert_int_equal(sscanf(info.name, "ipnv%d", &number), 1);
			assert_in_range(number, 0, THREADS * PAIRS - 1);
			assert_int_equal(seen & 1 << number, 0);
			seen |= 1 << number;
		}
	}
	for (int i = 0; i < THREADS; i++)
		for (int j = 0; j < PAIRS; j++)
			assert_int_equal(link_del(ctx, makers[i].ifindex[j]), 0);
}

/* Nothing comes out of an interface of the fabric that nobody sent. */
static void fabric_end_is_silent(void **state)
{
	struct link_ctx *other = ctx_in(there);
	char name[IPN_NAME_MAX];
	__u32 veths[2];
	__u32 tap;
	struct pollfd fds[3] = { { .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN } };

	assert_int_equal(link_veth(ctx, "ipnv%d", "eth0", there, 1000, LINK_GSO_BIG, &veths[0]), 0);
	assert_int_equal(link_set_up(ctx, veths[0]), 0);
	assert_int_equal(link_veth(ctx, "ipnv%d", "eth1", there, 1500, LINK_GSO_BIG, &veths[1]), 0);
	assert_int_equal(link_set_up(ctx, veths[1]), 0);
	assert_int_equal(link_tap_proc(ctx, "ipnp%d", 1500, &fds[2].fd, &tap, name), 0);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	fds[0].fd = packet_socket(link_named(other, "eth0").ifindex);
	fds[1].fd = packet_socket(link_named(other, "eth1").ifindex);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	/* IPv6 has no use for 1000 bytes, but for 1500. */
	assert_int_equal(link_set_mtu(ctx, veths[0], 1500), 0);
	assert_int_equal(poll(fds, ARRAY_SIZE(fds), 1500), 0);
	assert_int_equal(ipv6_addresses("ipnv0"), 0);
	assert_int_equal(ipv6_addresses("ipnv1"), 0);
	assert_int_equal(ipv6_addresses(name), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i].fd);
	assert_int_equal(link_del(ctx, veths[0]), 0);
	assert_int_equal(link_del(ctx, veths[1]), 0);
	link_ctx_free(other);
}

/* --- the segmenter --------------------------------------------------------------------------- */

static __u32 sum(const void *data, size_t n, __u32 s)
{
	const __u8 *p = data;

	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (__u32)p[i] << 8;
	return s;
}

static __u16 fold(__u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (__u16)~s;
}

#define SEGMENT 1000
#define SEGMENTS 3

struct tcp_frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	__u8 data[SEGMENT * SEGMENTS];
} __attribute__((packed));

static __u32 pseudo(const struct tcp_frame *f, size_t len)
{
	return sum((const __u8 *)&f->ip + offsetof(struct iphdr, saddr), 8,
		   IPPROTO_TCP + (__u32)len);
}

/* One frame of three segments, with the checksum left to the device. */
static void gso_send(__u32 ifindex)
{
	struct {
		struct virtio_net_hdr vnet;
		struct tcp_frame frame;
	} __attribute__((packed)) out = {
		.vnet = {
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = offsetof(struct tcp_frame, data),
			.gso_size = SEGMENT,
			.csum_start = offsetof(struct tcp_frame, tcp),
			.csum_offset = offsetof(struct tcphdr, check),
		},
		.frame = {
			.eth = { .h_proto = htons(ETH_P_IP), .h_dest = { 2, 0, 0, 0, 0, 1 },
				 .h_source = { 2, 0, 0, 0, 0, 2 } },
			.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
				.tot_len = htons(sizeof(struct tcp_frame) - ETH_HLEN),
				.saddr = htonl(0x0a000001), .daddr = htonl(0x0a000002) },
			.tcp = { .source = htons(1), .dest = htons(2), .doff = 5, .ack = 1 },
		},
	};
	struct tcp_frame *f = &out.frame;
	int fd = packet_socket(ifindex);
	int one = 1;

	for (size_t i = 0; i < sizeof(f->data); i++)
		f->data[i] = (__u8)(i * 7 + i / 251);
	f->ip.check = htons(fold(sum(&f->ip, sizeof(f->ip), 0)));
	f->tcp.check = htons((__u16)~fold(pseudo(f, sizeof(*f) - offsetof(struct tcp_frame, tcp))));
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(send(fd, &out, sizeof(out), 0), sizeof(out));
	close(fd);
}

static void segmenter_makes_frames_whole(void **state)
{
	struct link_info near;
	struct link_info far;
	__u32 near_index;
	__u32 far_index;
	__u32 seq = 0;
	int in;

	assert_int_equal(link_segmenter(ctx, "ipngw%d", "ipngo%d", &near_index, &far_index), 0);
	assert_int_equal(link_get(ctx, near_index, &near), 0);
	assert_int_equal(link_get(ctx, far_index, &far), 0);
	assert_string_equal(near.name, "ipngw0");
	assert_string_equal(far.name, "ipngo0");
	assert_int_equal(near.mtu, 65535);
	assert_int_equal(far.mtu, 65535);
	assert_true(near.running && far.running);
	assert_fabric_end(&near);
	assert_fabric_end(&far);

	in = packet_socket(far_index);
	gso_send(near_index);
	for (int i = 0; i < SEGMENTS; i++) {
		struct tcp_frame f;
		const size_t len = offsetof(struct tcp_frame, data) + SEGMENT;

		assert_true(readable(in, 1000));
		assert_int_equal(recv(in, &f, sizeof(f), MSG_TRUNC), len);
		assert_int_equal(ntohl(f.tcp.seq), seq);
		seq += SEGMENT;
		assert_int_equal(fold(sum(&f.ip, sizeof(f.ip), 0)), 0);
		assert_int_equal(fold(sum(&f.tcp, sizeof(f.tcp) + SEGMENT,
					  pseudo(&f, sizeof(f.tcp) + SEGMENT))),
				 0);
	}
	assert_false(readable(in, 50));
	close(in);
	assert_int_equal(link_del(ctx, near_index), 0);
	assert_int_equal(link_get(ctx, far_index, &far), -ENODEV);
}

static void segmenter_has_no_segmentation_left(void **state)
{
	__u32 near;
	__u32 far;

	assert_int_equal(link_segmenter(ctx, "ipngw%d", "ipngo%d", &near, &far), 0);
	/* Also of UDP, which the old ioctls do not know. */
	run("! ethtool -k ipngw0 | grep -E '^[[:space:]]*tx-.*: on' | grep -v fixed");
	run("! ethtool -k ipngw0 | grep -E '^(tx-checksumming|scatter-gather|"
	    "tcp-segmentation-offload|generic-segmentation-offload): on'");
	/* The far end is left as it is. */
	run("ethtool -k ipngo0 | grep -q '^tx-checksumming: on'");
	assert_int_equal(link_del(ctx, near), 0);
}

/* --- looking ------------------------------------------------------------------------------- */

static int stop_at_second(const struct link_info *info, void *arg)
{
	int *n = arg;

	/* The context may be used meanwhile. */
	assert_int_equal(link_get(ctx, info->ifindex, &(struct link_info){ 0 }), 0);
	return ++*n == 2 ? 42 : 0;
}

static void each_ends_when_told(void **state)
{
	__u32 near;
	__u32 far;
	int n = 0;

	assert_int_equal(link_segmenter(ctx, "a%d", "b%d", &near, &far), 0);
	assert_int_equal(link_each(ctx, stop_at_second, &n), 42);
	assert_int_equal(n, 2);
	assert_int_equal(link_del(ctx, near), 0);
}

static void what_does_not_exist_is_enodev(void **state)
{
	static const __u32 none[] = { 0, 999999, 0x7fffffff, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct link_info info = { .ifindex = 7 };

		assert_int_equal(link_get(ctx, none[i], &info), -ENODEV);
		assert_int_equal(info.ifindex, 7);
		assert_int_equal(link_del(ctx, none[i]), -ENODEV);
	}
}

static void interfaces_of_others(void **state)
{
	static const __u8 mac[] = { 2, 0x49, 0x50, 0x4e, 0, 9 }, group[] = { 1, 0, 0, 0, 0, 9 };
	struct link_info info = { .ifindex = 7 };
	__u32 near;

	assert_int_equal(link_find(ctx, "lo", &info), 0);
	assert_int_equal(info.type, 772); /* ARPHRD_LOOPBACK */
	assert_int_equal(link_find(ctx, "nobody", &info), -ENODEV);
	assert_int_equal(link_find(ctx, "", &info), -ENODEV);
	assert_int_equal(link_find(ctx, "far/too/long/for/a/name", &info), -ENODEV);

	assert_int_equal(link_veth(ctx, "n%d", LINK_NAME_AUTO, -1, 1500, LINK_GSO_PLAIN, &near), 0);
	assert_int_equal(link_set_up(ctx, near), 0);
	assert_int_equal(link_find(ctx, "ipn0", &info), 0);
	assert_int_equal(info.type, 1); /* ARPHRD_ETHER */
	assert_int_equal(info.peer, near);
	assert_int_equal(info.flags & IFF_PROMISC, 0);
	assert_int_equal(link_set_promisc(ctx, info.ifindex, true), 0);
	assert_int_equal(link_get(ctx, info.ifindex, &info), 0);
	assert_int_equal(info.flags & IFF_PROMISC, IFF_PROMISC);
	assert_int_equal(link_set_promisc(ctx, info.ifindex, false), 0);
	assert_int_equal(link_get(ctx, info.ifindex, &info), 0);
	assert_int_equal(info.flags & IFF_PROMISC, 0);
	assert_int_equal(link_set_mac(ctx, info.ifindex, mac), 0);
	assert_int_equal(link_set_mac(ctx, info.ifindex, group), -EADDRNOTAVAIL);
	assert_false(link_has_clsact(ctx, info.ifindex));
	assert_int_equal(link_filters(ctx, info.ifindex), 0);
	run("tc qdisc add dev ipn0 clsact");
	assert_true(link_has_clsact(ctx, info.ifindex));
	assert_int_equal(link_filters(ctx, info.ifindex), 0);
	assert_int_equal(link_del(ctx, near), 0);
	assert_int_equal(link_set_promisc(ctx, info.ifindex, true), -ENODEV);
	assert_false(link_has_clsact(ctx, info.ifindex));
}

static void dropped_frames_are_counted(void **state)
{
	struct link_info info;
	char name[IPN_NAME_MAX];
	char frame[60] = { 0 };
	__u32 ifindex;
	int out;
	int fd;

	assert_int_equal(link_tap_proc(ctx, "t%d", 1500, &fd, &ifindex, name), 0);
	run("ip link set t0 txqueuelen 2");
	out = packet_socket(ifindex);
	for (int i = 0; i < 5; i++)
		(void)!send(out, frame, sizeof(frame), 0);
	assert_int_equal(link_get(ctx, ifindex, &info), 0);
	assert_true(info.tx_dropped > 0);
	close(out);
	close(fd);
}

/* --- descriptors --------------------------------------------------------------------------- */

static void only_taps_of_this_namespace_are_known(void **state)
{
	struct ifreq tun = { .ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "tun%d" };
	struct link_ctx *other = ctx_in(there);
	char name[IPN_NAME_MAX];
	__u32 ifindex;
	__u32 found = 7;
	int fds[2];
	int fd;

	assert_int_equal(link_tap_proc(ctx, "t%d", 1500, &fd, &ifindex, name), 0);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), 0);
	assert_int_equal(found, ifindex);
	run("ip link set t0 down && ip link set t0 name renamed"); /* 6.1: only when down */
	found = 7;
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), 0);
	assert_int_equal(found, ifindex);
	/* Moved away: the descriptor is open still. */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	found = 7;
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -EXDEV);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	/* Deleted under it. */
	assert_int_equal(link_del(ctx, ifindex), 0);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -ENOTTY);
	close(fd);

	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	assert_int_equal(link_tap_proc(other, "t%d", 1500, &fd, &ifindex, name), 0);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -EXDEV);
	close(fd);

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -ENOTTY);
	assert_int_equal(ioctl(fd, TUNSETIFF, &tun), 0);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -ENOTTY);
	close(fd);
	fd = open("/dev/net/tun", O_PATH | O_CLOEXEC);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -ENOTTY);
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(link_tap_of_fd(ctx, fd, &found), -ENOTTY);
	close(fd);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(link_tap_of_fd(ctx, fds[0], &found), -ENOTTY);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(link_tap_of_fd(ctx, here, &found), -ENOTTY);
	assert_int_equal(link_tap_of_fd(ctx, -1, &found), -ENOTTY);
	assert_int_equal(found, 7);
	link_ctx_free(other);
}

static void only_network_namespaces_are_network_namespaces(void **state)
{
	static const char *const others[] = {
		"/proc/self/ns/user", "/proc/self/ns/mnt", "/dev/null", "/proc/self/status", "/",
		"/dev/net/tun"
	};
	struct stat st;
	__u32 inode = 0;
	int fd;

	assert_int_equal(link_netns_check(here), 0);
	assert_int_equal(link_netns_check(there), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		fd = open(others[i], O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(link_netns_check(fd), -EBADF);
		close(fd);
	}
	fd = open("/proc/self/ns/net", O_PATH | O_CLOEXEC);
	assert_int_equal(link_netns_check(fd), -EBADF);
	close(fd);
	assert_int_equal(link_netns_check(-1), -EBADF);

	assert_int_equal(fstat(here, &st), 0);
	assert_int_equal(link_netns_inode(&inode), 0);
	assert_int_equal(inode, st.st_ino);
}

/* --- watching ------------------------------------------------------------------------------ */

struct seen {
	__u32 ifindex;
	int changes;
	int gone;
	struct link_info last;
};

static void see(const struct link_info *info, bool gone, void *arg)
{
	struct seen *s = arg;

	if (s->ifindex && info->ifindex != s->ifindex)
		return;
	if (gone) {
		s->gone++;
		return;
	}
	s->changes++;
	s->last = *info;
}

static void watch_tells_what_comes_and_goes(void **state)
{
	int fd = link_watch_open();
	struct seen seen = { .ifindex = 0 };
	__u32 near;
	__u32 far;

	assert_true(fd >= 0);
	assert_int_equal(link_watch_read(fd, see, &seen), 0);
	assert_int_equal(seen.changes + seen.gone, 0);

	assert_int_equal(link_segmenter(ctx, "a%d", "b%d", &near, &far), 0);
	seen.ifindex = near;
	assert_int_equal(link_watch_read(fd, see, &seen), 0);
	assert_true(seen.changes > 0);
	assert_int_equal(seen.gone, 0);
	assert_string_equal(seen.last.name, "a0");
	assert_int_equal(seen.last.group, GROUP);
	assert_int_equal(seen.last.flags & IFF_UP, IFF_UP);

	/* To leave a bridge is not to go, though the kernel uses the same message. */
	run("ip link add br0 type bridge && ip link set a0 master br0 && ip link set a0 nomaster");
	assert_int_equal(link_watch_read(fd, see, &seen), 0);
	assert_int_equal(seen.gone, 0);
	/* The kernel tells of a lost carrier when it comes to it. */
	run("ip link set b0 down");
	do {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_int_equal(link_watch_read(fd, see, &seen), 0);
	} while (seen.last.running);

	assert_int_equal(link_del(ctx, near), 0);
	assert_int_equal(link_watch_read(fd, see, &seen), 0);
	assert_int_equal(seen.gone, 1);
	run("ip link del br0");
	close(fd);
}

static void watch_tells_when_it_lost_something(void **state)
{
	int fd = link_watch_open();
	struct seen seen = { .ifindex = 0 };
	char name[IPN_NAME_MAX];
	__u32 ifindex;
	int size = 0;
	socklen_t len = sizeof(size);
	int tap;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len), 0);
	assert_true(size >= 8 << 20);
	size = 4096;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(link_tap_proc(ctx, "t%d", 1500, &tap, &ifindex, name), 0);
		close(tap);
	}
	assert_int_equal(link_watch_read(fd, see, &seen), -ENOBUFS);
	/* What was queued was told, and after that all is well again. */
	assert_true(seen.changes > 0);
	assert_int_equal(link_watch_read(fd, see, &seen), 0);
	seen = (struct seen){ 0 };
	assert_int_equal(link_tap_proc(ctx, "t%d", 1500, &tap, &ifindex, name), 0);
	link_watch_read(fd, see, &seen);
	assert_true(seen.changes > 0);
	close(tap);
	close(fd);
	assert_int_equal(link_watch_read(-1, see, &seen), -EBADF);
}

static int setup(void **state)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	there = netns_open();
	if (system("ip link set lo up") || unshare(CLONE_NEWNET))
		return -1;
	here = netns_open();
	/* As on most hosts of VMs and containers. IPv6 has more to say then. */
	if (system("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; "
		   "echo 1 > /proc/sys/net/ipv4/ip_forward"))
		return -1;
	return here < 0 || there < 0 || link_ctx_new(&ctx, GROUP) ? -1 : 0;
}

static int teardown(void **state)
{
	link_ctx_free(ctx);
	close(here);
	close(there);
	return 0;
}

static int del_all_but_lo(const struct link_info *info, void *arg)
{
	int *n = arg;

	if (!strcmp(info->name, "lo"))
		return 0;
	print_error("%s is left\n", info->name);
	++*n;
	link_del(ctx, info->ifindex);
	return 0;
}

/* Every test leaves the namespace as it found it: with lo and nothing else. */
static int empty_after(void **state)
{
	int n = 0;

	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	return link_each(ctx, del_all_but_lo, &n) || n ? -1 : 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, empty_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(proc_tap_lives_as_long_as_its_descriptor),
		TEST(proc_taps_never_join_an_existing_one),
		TEST(mtu_is_clamped_to_what_the_device_can),
		TEST(vm_tap_is_for_its_owner),
		TEST(veth_reaches_into_another_namespace),
		TEST(a_visit_comes_back),
		TEST(veth_fails_without_traces),
		TEST(makers_do_not_disturb_each_other),
		TEST(fabric_end_is_silent),
		TEST(segmenter_makes_frames_whole),
		TEST(segmenter_has_no_segmentation_left),
		TEST(each_ends_when_told),
		TEST(what_does_not_exist_is_enodev),
		TEST(interfaces_of_others),
		TEST(dropped_frames_are_counted),
		TEST(only_taps_of_this_namespace_are_known),
		TEST(only_network_namespaces_are_network_namespaces),
		TEST(watch_tells_what_comes_and_goes),
		TEST(watch_tells_when_it_lost_something),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
