/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What BPF_PROG_TEST_RUN cannot show of the tc hook: where a redirect goes, frames that are not
 * whole (checksum to be completed, to be cut into segments), and the round through the segmenter.
 * The programs are attached as the manager does, and a VM writes its frames with virtio headers.
 */
#include "ways.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define HDR_LEN 54 /* Ethernet, IPv4, TCP */

static struct t_net *net;
static struct t_port *vm, *vm2, *process, *veth;
static __u32 segmenter;
static int here = -1, there = -1; /* network namespaces */
static int far_end = -1;          /* packet socket at the other end of the veth */
static __u8 frame[FRAME_MAX], got[FRAME_MAX];

/* --- the world ----------------------------------------------------------------------------- */

static struct t_port *vm_make(__u32 number, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct t_port *p;
	__u32 ifindex;

	assert_ok(link_tap_vm(fab.link, name, 0, net->live->mtu - ETH_LEN, &ifindex));
	util_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name);
	assert_ok(ioctl(tap, TUNSETIFF, &ifr));
	assert_ok(ioctl(tap, TUNSETPERSIST, 0)); /* it goes with the test */
	assert_ok(ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4));
	p = port_make_at(net, number, IPN_KIND_TAP, tap, ifindex);
	p->vnet = true;
	assert_ok(bpf_attach_tc(fab.b, ifindex, fab.b->prog_tc));
	return p;
}

static struct t_port *veth_make(__u32 number)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(0x0003) };
	__u32 ifindex;

	assert_ok(link_veth(fab.link, "v%d", "far", there, net->live->mtu - ETH_LEN, LINK_GSO_PLAIN,
			    &ifindex));
	assert_ok(link_set_up(fab.link, ifindex));
	assert_ok(setns(there, CLONE_NEWNET));
	far_end = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	addr.sll_ifindex = (int)if_nametoindex("far");
	assert_ok(bind(far_end, (struct sockaddr *)&addr, sizeof(addr)));
	assert_ok(setns(here, CLONE_NEWNET));
	return port_make_at(net, number, IPN_KIND_VETH, -1, ifindex);
}

static int world_of(__u32 hook, __u32 mtu)
{
	fab.b->abi.hook = hook;
	if (here < 0) {
		here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		assert_ok(unshare(CLONE_NEWNET));
		sysctl_set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
		there = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		assert_ok(setns(here, CLONE_NEWNET));
	}
	net = net_make(IPN_POLICY_SWITCH, mtu, 9);
	process = port_make(net, 4, IPN_KIND_PROC);
	if (!bpf_tcx_works(fab.b, process->in.ifindex))
		fab.b->abi.hook = IPN_HOOK_CLSACT;
	vm = vm_make(7, "vm");
	vm2 = vm_make(1, "vm2");
	veth = veth_make(2);
	assert_ok(link_segmenter(fab.link, "g%d", "h%d", &segmenter, &fab.b->abi.segmenter_out));
	fab.b->abi.segmenter = segmenter;
	assert_ok(bpf_abi_store(fab.b));
	assert_ok(bpf_attach_tc(fab.b, fab.b->abi.segmenter_out, fab.b->prog_tc_segmenter));
	return 0;
}

static int tcx(void **state)
{
	return world_of(IPN_HOOK_TCX, 1514);
}

static int clsact(void **state)
{
	return world_of(IPN_HOOK_CLSACT, 1514);
}

static int tiny_mtu(void **state)
{
	return world_of(IPN_HOOK_TCX, 62);
}

static int world_done(void **state)
{
	link_del(fab.link, veth->in.ifindex);
	link_del(fab.link, segmenter);
	close(far_end);
	bpf_detach(fab.b, vm->in.ifindex);
	bpf_detach(fab.b, vm2->in.ifindex);
	bpf_detach(fab.b, fab.b->abi.segmenter_out);
	return fabric_clear(state);
}

/* --- frames -------------------------------------------------------------------------------- */

static void station(__u8 mac[6], const struct t_port *p)
{
	put_bytes(mac, "\x02\x49\x50\x4e\x00", 5);
	mac[5] = p ? (__u8)(0x10 + p->in.number) : 0xfe; /* nobody's: unknown to the switch */
}

static void learn(const struct t_port *p)
{
	__u8 mac[6];

	station(mac, p);
	fdb_learn(net, mac, p);
}

static __u32 sum16(const void *data, __u32 len, __u32 sum)
{
	const __u8 *p = data;

	for (__u32 i = 0; i + 1 < len; i += 2)
		sum += (__u32)(p[i] << 8 | p[i + 1]);
	if (len & 1)
		sum += (__u32)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

/* Sum over the TCP pseudo header of an IPv4 packet. */
static __u32 pseudo(const __u8 *ip, __u32 tcp_len)
{
	return sum16(ip + 12, 8, 6 + tcp_len);
}

/*
 * A TCP segment from `vm`; partial: with its checksum left to be completed; tag: in the frame.
 * Returns its length.
 */
static __u32 tcp_make(const struct t_port *to, __u32 payload, bool tag, bool partial)
{
	__u8 *ip = frame + ETH_LEN + (tag ? TAG_LEN : 0), *tcp = ip + 20;

	memset(frame, 0, sizeof(frame));
	station(frame, to);
	station(frame + 6, vm);
	if (tag)
		put_bytes(frame + 12, "\x81\x00\x00\x2a", TAG_LEN);
	put_bytes(ip - 2, "\x08\x00", 2);
	put_bytes(ip, "\x45\0\0\0\0\x01\x40\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02", 20);
	put16(ip + 2, 40 + payload);
	put16(ip + 10, ~sum16(ip, 20, 0) & 0xffff);
	put_bytes(tcp, "\x10\0\x20\0\0\0\0\x01\0\0\0\x01\x50\x10\x10\0", 16);
	put16(tcp + 16, pseudo(ip, 20 + payload));
	fill(tcp + 20, payload, payload);
	if (!partial) {
		put16(tcp + 16, 0);
		put16(tcp + 16, ~sum16(tcp, 20 + payload, pseudo(ip, 20 + payload)) & 0xffff);
	}
	return (__u32)(tcp + 20 - frame) + payload;
}

/* The VM sends what is in `frame`. gso: bytes of payload in each segment, 0: one frame. */
static void vm_send(__u32 len, bool partial, __u32 gso, bool tag)
{
	__u16 l4 = ETH_LEN + 20 + (tag ? TAG_LEN : 0);
	struct virtio_net_hdr hdr = {
		.flags = partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
		.gso_type = gso ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE,
		.hdr_len = gso ? l4 + 20 : 0,
		.gso_size = (__u16)gso,
		.csum_start = partial ? l4 : 0,
		.csum_offset = partial ? 16 : 0,
	};
	const struct iovec parts[] = { { &hdr, sizeof(hdr) }, { frame, len } };

	assert_int_equal(writev(vm->tap, parts, 2), len + sizeof(hdr));
	usleep(1000); /* what must not come behind the segmenter would, most of the time */
}

static void sent_once(__u32 len)
{
	vm->want.in_packets++;
	vm->want.in_bytes += len;
}

/* One segment of what is in `frame`, whole, is the next message of the log. */
static void segment_expect(struct t_log *log, __u32 hdr_len, __u32 at, __u32 len)
{
	const struct ipn_slot *slot = log_slot(log, log->next);
	const __u8 *ip = slot->data + hdr_len - 40;

	/* The segmenter's other end receives in a softirq, which waits for a CPU like others. */
	for (int ms = 0; ms < SOCK_WAIT_MS; ms++) {
		if (__atomic_load_n(&slot->seq, __ATOMIC_ACQUIRE) == log->next + 1)
			break;
		usleep(1000);
	}
	assert_int_equal(slot->seq, log->next + 1);
	assert_int_equal(slot->src, vm->in.number);
	assert_int_equal(slot->len, hdr_len + len);
	assert_memory_equal(slot->data, frame, hdr_len - 40); /* addresses, tag, type */
	assert_memory_equal(slot->data + hdr_len, frame + hdr_len + at, len);
	assert_int_equal(ip[2] << 8 | ip[3], 40 + len);
	assert_int_equal(sum16(ip, 20, 0), 0xffff);
	assert_int_equal(sum16(ip + 20, 20 + len, pseudo(ip, 20 + len)), 0xffff);
	log->next++;
}

static void segments_expect(struct t_log *log, __u32 len, __u32 gso, bool tag)
{
	__u32 hdr_len = HDR_LEN + (tag ? TAG_LEN : 0), payload = len - hdr_len;

	if (!gso)
		gso = payload ? payload : 1;
	for (__u32 at = 0; at < payload; at += gso)
		segment_expect(log, hdr_len, at, gso < payload - at ? gso : payload - at);
	assert_int_equal(log_head(log), log->next);
}

/* A device got the frame as it was sent: not cut, not completed. */
static void as_it_was_expect(struct t_port *p, __u32 len, bool partial, __u32 gso)
{
	assert_int_equal(tap_read(p, got, sizeof(got)), len);
	assert_int_equal(p->hdr.gso_size, gso);
	assert_int_equal(p->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, partial);
	assert_memory_equal(got, frame, len);
	p->want.out_packets++;
	p->want.out_bytes += len;
}

/* The other end of the veth got it. */
static void far_expect(__u32 len)
{
	assert_int_equal(recv(far_end, got, sizeof(got), MSG_TRUNC), len);
	assert_memory_equal(got, frame, len);
	assert_int_equal(recv(far_end, got, sizeof(got), 0), -1);
}

/* --- the table of what comes from a VM ----------------------------------------------------- */

enum to { TO_PROCESS, TO_DEVICE, TO_ALL };

static const struct row {
	const char *name;
	enum to to;
	__u32 payload;
	bool partial;
	__u32 gso;
	bool tag;
	bool no_segmenter;
	int drop;
} rows[] = {
	{ "whole", TO_PROCESS, 100, false, 0, false, false, 0 },
	{ "whole, without segmenter", TO_PROCESS, 100, false, 0, false, true, 0 },
	{ "checksum to be completed", TO_PROCESS, 100, true, 0, false, false, 0 },
	{ "one of odd length", TO_PROCESS, 101, true, 0, false, false, 0 },
	{ "the longest", TO_PROCESS, 1460, true, 0, false, false, 0 },
	{ "one byte too long", TO_PROCESS, 1461, true, 0, false, false, DROP(MTU) },
	{ "the longest with a tag", TO_PROCESS, 1456, true, 0, true, false, 0 },
	{ "one byte too long with a tag", TO_PROCESS, 1457, true, 0, true, false, DROP(MTU) },
	{ "three segments", TO_PROCESS, 3000, true, 1000, false, false, 0 },
	{ "the last one short", TO_PROCESS, 3001, true, 1000, false, false, 0 },
	{ "of the longest", TO_PROCESS, 4 * 1460, true, 1460, false, false, 0 },
	{ "one byte too long each", TO_PROCESS, 4 * 1461, true, 1461, false, false, DROP(MTU) },
	{ "with a tag", TO_PROCESS, 3000, true, 1000, true, false, 0 },
	{ "of the longest with a tag", TO_PROCESS, 3 * 1456, true, 1456, true, false, 0 },
	{ "partial, without segmenter", TO_PROCESS, 100, true, 0, false, true, DROP(SEGMENTER) },
	{ "segments, without segmenter", TO_PROCESS, 3000, true, 1000, false, true,
	  DROP(SEGMENTER) },

	{ "whole", TO_DEVICE, 100, false, 0, false, false, 0 },
	{ "checksum to be completed", TO_DEVICE, 100, true, 0, false, false, 0 },
	{ "segments", TO_DEVICE, 60000, true, 1448, false, false, 0 },
	{ "segments without segmenter", TO_DEVICE, 60000, true, 1448, false, true, 0 },
	{ "one byte too long each", TO_DEVICE, 4 * 1461, true, 1461, false, false, DROP(MTU) },

	{ "whole", TO_ALL, 100, false, 0, false, false, 0 },
	{ "whole with a tag", TO_ALL, 100, false, 0, true, false, 0 },
	{ "checksum to be completed", TO_ALL, 100, true, 0, false, false, 0 },
	{ "segments", TO_ALL, 5000, true, 1000, false, false, 0 },
	{ "segments with a tag", TO_ALL, 5000, true, 1000, true, false, 0 },
	{ "segments without segmenter", TO_ALL, 3000, true, 1000, false, true, DROP(SEGMENTER) },
};

static const struct t_port *receiver(enum to to)
{
	return to == TO_PROCESS ? process : to == TO_DEVICE ? vm2 : NULL;
}

static void row_run(const struct row *row)
{
	const struct t_port *to = receiver(row->to);
	__u32 len = tcp_make(to, row->payload, row->tag, row->partial);
	bool too_long = row->drop == DROP(MTU);

	print_message("  %s, %s\n", row->name,
		      !to         ? "to all"
		      : to == vm2 ? "to a VM"
				  : "to a process");
	if (to)
		learn(to);
	veth->in.flags &= ~IPN_PF_UP; /* the VM is receiver enough */
	port_store(veth);
	fab.b->abi.segmenter = row->no_segmenter ? 0 : segmenter;
	assert_ok(bpf_abi_store(fab.b));
	vm_send(len, row->partial, row->gso, row->tag);

	if (!too_long)
		sent_once(len);
	if (row->drop)
		vm->want.drop[row->drop - 1]++;
	if (row->to == TO_PROCESS && !row->drop)
		segments_expect(&process->log, len, row->gso, row->tag);
	if (row->to == TO_ALL && !row->drop)
		segments_expect(&net->log, len, row->gso, row->tag);
	if (row->to != TO_PROCESS && !too_long)
		as_it_was_expect(vm2, len, row->partial, row->gso);
	quiet_expect();
}

static void what_a_vm_sends_comes_out_as_it_must(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row_run(&rows[i]);
}

/* A tag counts, whether the frame is to be cut or not (see "one byte too long with a tag"). */
static void segments_with_a_tag_obey_the_mtu(void **state)
{
	static const struct row row = { "tagged, one byte too long each",
					TO_DEVICE,
					3 * 1457,
					true,
					1457,
					true,
					false,
					DROP(MTU) };

	(void)state;
	row_run(&row);
}

/* A device's own MTU cannot be as small as a network's. */
static void segments_obey_an_mtu_that_no_device_has(void **state)
{
	/* 8 bytes of payload at least: of less, some kernels make 8 */
	static const struct row rows_62[] = {
		{ "of 62 bytes", TO_DEVICE, 16, true, 8, false, false, 0 },
		{ "of 63 bytes", TO_DEVICE, 72, true, 9, false, false, DROP(MTU) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows_62); i++)
		row_run(&rows_62[i]);
}

/* --- where a redirect goes ----------------------------------------------------------------- */

/* Frames that an interface of this namespace has sent. */
static unsigned long tx_packets(__u32 ifindex)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	char name[IF_NAMESIZE], line[512];
	unsigned long tx = 0;
	bool found = false;

	assert_non_null(f);
	assert_non_null(if_indextoname(ifindex, name));
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':'), *start = line + strspn(line, " ");

		if (!colon || (size_t)(colon - start) != strlen(name) ||
		    strncmp(start, name, strlen(name)))
			continue;
		found = sscanf(colon + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %lu", &tx) == 1;
	}
	fclose(f);
	assert_true(found);
	return tx;
}

/*
 * A veth whose other end is in another namespace gets its frames there at once: bpf_redirect_peer;
 * the near end has sent nothing. Without the flag, and when flooded, they go through the near end.
 */
static void a_peer_is_reached_directly(void **state)
{
	static const struct {
		bool peer, unicast;
		unsigned long sent; /* by the near end */
	} cases[] = {
		{ true, true, 0 }, { false, true, 1 }, { true, false, 1 }, { false, false, 1 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned long before = tx_packets(veth->in.ifindex);
		__u32 len = tcp_make(cases[i].unicast ? veth : NULL, 100, false, false);

		print_message("  peer %d, unicast %d\n", cases[i].peer, cases[i].unicast);
		veth->in.flags = cases[i].peer ? DEVICE_FLAGS | IPN_PF_PEER : DEVICE_FLAGS;
		port_store(veth);
		learn(veth);
		vm_send(len, false, 0, false);
		sent_once(len);
		if (!cases[i].unicast) {
			log_expect(&net->log, vm->in.number, frame, len);
			as_it_was_expect(vm2, len, false, 0);
		}
		veth->want.out_packets++;
		veth->want.out_bytes += len;
		far_expect(len);
		assert_int_equal(tx_packets(veth->in.ifindex) - before, cases[i].sent);
		quiet_expect();
	}
}

/*
 * A process's frame comes up to the tc program with its tag held apart. The device gets it in the
 * frame, and both count the same bytes.
 */
static void a_process_sends_a_tag(void **state)
{
	static const struct {
		bool unicast, tag;
	} cases[] = { { true, false }, { true, true }, { false, false }, { false, true } };
	static __u8 with_hdr[FRAME_MAX];

	(void)state;
	assert_ok(bpf_attach_xdp(fab.b, process->in.ifindex));
	assert_ok(bpf_attach_tc(fab.b, process->in.ifindex, fab.b->prog_tc_tap));
	veth->in.flags &= ~IPN_PF_UP;
	port_store(veth);
	learn(vm2);
	vm->in.flags &= ~IPN_PF_UP;
	port_store(vm);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		__u32 len = tcp_make(cases[i].unicast ? vm2 : NULL, 100, cases[i].tag, false), n;

		print_message("  unicast %d, tag %d\n", cases[i].unicast, cases[i].tag);
		station(frame + 6, process);
		n = frame_of(with_hdr, IPN_TX_DATA, frame, len);
		assert_int_equal(write(process->tap, with_hdr, n), n);
		process->want.in_packets++;
		process->want.in_bytes += len;
		if (!cases[i].unicast)
			log_expect(&net->log, process->in.number, frame, len);
		as_it_was_expect(vm2, len, false, 0);
		quiet_expect();
	}
	bpf_detach(fab.b, process->in.ifindex);
}

/* A sender that sleeps is woken by what came through the segmenter, too. */
static void segments_wake_a_sleeper_once(void **state)
{
	__u32 len = tcp_make(process, 3000, false, true);

	(void)state;
	learn(process);
	fall_asleep(process);
	vm_send(len, true, 1000, false);
	sent_once(len);
	segments_expect(&process->log, len, 1000, false);
	assert_int_equal(bell_wakes(process), 1);
	quiet_expect();
}

static const struct CMUnitTest tests[] = {
#define TCX_TEST(name) cmocka_unit_test_setup_teardown(name, tcx, world_done)
#define CLSACT_TEST(name) cmocka_unit_test_setup_teardown(name, clsact, world_done)
	TCX_TEST(what_a_vm_sends_comes_out_as_it_must),
	CLSACT_TEST(what_a_vm_sends_comes_out_as_it_must),
	TCX_TEST(segments_with_a_tag_obey_the_mtu),
	cmocka_unit_test_setup_teardown(segments_obey_an_mtu_that_no_device_has, tiny_mtu,
					world_done),
	TCX_TEST(a_peer_is_reached_directly),
	CLSACT_TEST(a_peer_is_reached_directly),
	TCX_TEST(a_process_sends_a_tag),
	CLSACT_TEST(a_process_sends_a_tag),
	TCX_TEST(segments_wake_a_sleeper_once),
};

FABRIC_MAIN(tests)
