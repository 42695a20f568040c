/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rest of the kit for policies: sending to any set of ports, rewriting, callbacks, private
 * data.
 *
 *	static __always_inline struct verdict handle(const struct ipn_ctx *c, struct ipn_msg *m)
 *	{
 *		ipn_forward(c, m, 3);
 *		ipn_forward(c, m, 5);
 *		return to_none();
 *	}
 *	IPN_POLICY_SEND(name, handle);
 *
 * A policy made with IPN_POLICY_SEND sees each message once and whole, wherever it came from:
 *
 *   from a process   at XDP while the network has no device; else one stage later, in the tc
 *                    program of the same tap, where a frame can be sent to many devices. A message
 *                    too short for devices (14 bytes) stays at XDP.
 *   from a device    at tc; a frame that is yet to be cut or has no checksum goes through the
 *                    segmenter first, and the policy sees what comes out. Of a grabbed interface, a
 *                    clone of every frame does: the host's own is not touched.
 *
 * So it may count, take turns, and send different messages to different ports. Its messages to
 * devices are copies of the frame; to processes, an entry in each recipient's own log.
 */
#ifndef IPN_BPF_KIT_H
#define IPN_BPF_KIT_H

#include "policy.h"

#define DEVICE_MIN 14 /* an Ethernet header */

/* --- the message --------------------------------------------------------------------------- */

/* The policy has sent it, or keeps it from all: nothing is left to do, nothing is counted. */
INLINE struct verdict to_none(void)
{
	return (struct verdict){ VERDICT_NONE, 0 };
}

/*
 * Copies len bytes (a constant, or bounded and not 0) at `off` of the message as it came. 0, or
 * negative when they are not there. Not past 12 bytes where a VLAN tag may be: use a draft.
 */
INLINE long ipn_load(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 off, void *to,
		     __u32 len)
{
	return ctx_load(c, m->off + off, to, len);
}

/*
 * The draft of this CPU, IPN_DRAFT_SIZE bytes, with the message at `room` (a constant below
 * IPN_DRAFT_ROOM). NULL when the message cannot be read. Call it once for a message, then write
 * what you like there and say with ipn_use what of it is the message.
 */
INLINE __u8 *ipn_draft(const struct ipn_ctx *c, const struct ipn_msg *m, const __u32 room)
{
	__u8 *draft = draft_of(c);
	__u64 len = m->len, more;

	if (!draft)
		return NULL;
	more = len + 1;
	barrier_var(more);
	if (more < 2)
		return draft;
	len = more - 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX || log_copy(c, m, draft + room, len, IPN_MTU_MAX))
		return NULL;
	return draft;
}

/*
 * From here on the message is what stands at `from` (below IPN_DRAFT_ROOM) of the draft, len bytes,
 * for all that is sent to and for the verdict. Say it again after each change of the draft. 0, or
 * -1 when it is longer than the network allows: then nothing has changed.
 */
INLINE long ipn_use(struct ipn_msg *m, __u32 from, __u32 len)
{
	if (len > m->mtu || from >= IPN_DRAFT_ROOM)
		return -1;
	m->draft = DRAFT_USED;
	m->draft_at = from;
	m->len = len;
	return 0;
}

/* Makes the frame at tc what the draft is. 0, or the reason to drop it + 1. */
INLINE int draft_into_frame(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct __sk_buff *skb = c->ctx;
	__u32 from = m->draft_at & (IPN_DRAFT_ROOM - 1);
	__u64 len = m->len;
	__u8 *draft;

	if (len < DEVICE_MIN)
		return IPN_DROP_RUNT + 1;
	if (m->draft != DRAFT_USED)
		return 0;
	/* the tag apart is one of the frame that was; an inner one may take its place */
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return IPN_DROP_BAD_FRAME + 1;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return IPN_DROP_BAD_FRAME + 1;
	if (bpf_skb_change_tail(skb, len, 0))
		return IPN_DROP_BAD_FRAME + 1;
	draft = draft_of(c);
	barrier_var(len);
	if (!draft || len < DEVICE_MIN)
		return IPN_DROP_BAD_FRAME + 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX ||
	    bpf_skb_store_bytes(skb, 0, draft + from, len, BPF_F_INVALIDATE_HASH))
		return IPN_DROP_BAD_FRAME + 1;
	m->vlan = 0;
	m->draft = DRAFT_IN_FRAME;
	return 0;
}

/* --- sending ------------------------------------------------------------------------------- */

INLINE void send_device(const struct ipn_ctx *c, struct ipn_msg *m, const struct ipn_port_out *dest,
			__u32 port)
{
	int why;

	if (c->hook != HOOK_TC) {
		/* attached just now, or a message that is too short for any device */
		stats_drop(m->node, m->len < DEVICE_MIN ? IPN_DROP_RUNT : IPN_DROP_NO_PORT);
		return;
	}
	if (!(dest->flags & IPN_PF_UP) && dest->kind != IPN_KIND_SOCK) {
		stats_drop(m->node, IPN_DROP_PORT_DOWN);
		return;
	}
	why = draft_into_frame(c, m);
	if (why) {
		stats_drop(m->node, why - 1);
		return;
	}
	if (c->sends != POLICY_SENDS && dest->kind == IPN_KIND_SOCK)
		deliver_sock(c, m, dest, port);
	else if (tc_outgrows(c->ctx, dest))
		stats_drop(m->node, IPN_DROP_MTU);
	else if (dest->kind == IPN_KIND_CABLE)
		cable_clone(c->ctx, dest, m->cable, m->node, m->len);
	else if (bpf_clone_redirect(c->ctx, dest->ifindex, 0))
		stats_drop(m->node, IPN_DROP_REDIRECT);
	else
		stats_out(dest->node, m->len);
}

INLINE void send_port(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
		      __u32 port)
{
	__u32 at = m->port_base + port;
	struct ipn_port_out *dest = bpf_map_lookup_elem(&ipn_port_out, &at);

	if (!dest || port >= net->numnodes || !dest->kind)
		stats_drop(m->node, IPN_DROP_NO_PORT);
	else if (dest->kind != IPN_KIND_PROC)
		send_device(c, m, dest, port);
	else
		deliver_port(c, m, net, port);
}

INLINE void send_flood(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net)
{
	int why;

	if (READ_ONCE(net->readers))
		flood_processes(c, m, net);
	if (m->batch || !READ_ONCE(net->flood_len))
		return;
	if (c->hook != HOOK_TC) {
		stats_drop(m->node, m->len < DEVICE_MIN ? IPN_DROP_RUNT : IPN_DROP_NO_PORT);
		return;
	}
	why = draft_into_frame(c, m);
	if (why)
		stats_drop(m->node, why - 1);
	else
		tc_flood_devices(c->ctx, net, m->ifindex, m->node, m->len, m->cable);
}

/* Sends the message, as it is now, to one port. What cannot be is counted at the sender. */
INLINE void ipn_forward(const struct ipn_ctx *c, struct ipn_msg *m, __u32 port)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (net)
		send_port(c, m, net, port);
}

/* Sends it to all ports but the one it came from. */
INLINE void ipn_flood(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (net)
		send_flood(c, m, net);
}

/* --- sets ---------------------------------------------------------------------------------- */

/* A set of ports of one network, to stand in a map of the policy. */
struct ipn_ports {
	__u64 bits[IPN_SLEEP_WORDS];
};

INLINE void ipn_ports_add(struct ipn_ports *ports, __u32 port)
{
	if (port < IPN_NET_PORTS)
		FETCH_OR(&ports->bits[port / 64], 1ULL << (port % 64));
}

INLINE void ipn_ports_del(struct ipn_ports *ports, __u32 port)
{
	if (port < IPN_NET_PORTS)
		FETCH_AND(&ports->bits[port / 64], ~(1ULL << (port % 64)));
}

INLINE int ipn_ports_has(const struct ipn_ports *ports, __u32 port)
{
	return port < IPN_NET_PORTS && ports->bits[port / 64] >> (port % 64) & 1;
}

struct set_send {
	void *ctx;
	struct ipn_msg *m;
	struct ipn_net_fast *net;
	__u64 bits;
	__u32 first;
};

INLINE long set_bit_send(const struct ipn_ctx *c, __u32 i, struct set_send *s)
{
	__u32 port = s->first + i;

	if (i < 64 && s->bits >> i & 1 && port != s->m->port)
		send_port(c, s->m, s->net, port);
	return 0;
}

static __attribute__((unused)) long set_bit_xdp(__u32 i, struct set_send *s)
{
	const struct ipn_ctx c = { s->ctx, HOOK_XDP, 1 };

	return set_bit_send(&c, i, s);
}

static __attribute__((unused)) long set_bit_tc(__u32 i, struct set_send *s)
{
	const struct ipn_ctx c = { s->ctx, HOOK_TC, 1 };

	return set_bit_send(&c, i, s);
}

struct set_words {
	struct set_send one;
	const struct ipn_ports *ports;
	enum ipn_hook_id hook;
};

static __attribute__((unused)) long set_word_xdp(__u32 i, struct set_words *w)
{
	w->one.bits = READ_ONCE(w->ports->bits[i & (IPN_SLEEP_WORDS - 1)]);
	w->one.first = i * 64;
	if (w->one.bits)
		bpf_loop(64, set_bit_xdp, &w->one, 0);
	return 0;
}

static __attribute__((unused)) long set_word_tc(__u32 i, struct set_words *w)
{
	w->one.bits = READ_ONCE(w->ports->bits[i & (IPN_SLEEP_WORDS - 1)]);
	w->one.first = i * 64;
	if (w->one.bits)
		bpf_loop(64, set_bit_tc, &w->one, 0);
	return 0;
}

/* Sends the message to all ports of the set but the one it came from. */
INLINE void ipn_send_ports(const struct ipn_ctx *c, struct ipn_msg *m,
			   const struct ipn_ports *ports)
{
	struct set_words w = { .one = { .ctx = c->ctx, .m = m }, .ports = ports };
	__u32 id = m->net, words;

	w.one.net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!w.one.net)
		return;
	words = (w.one.net->numnodes + 63) / 64;
	if (c->hook == HOOK_XDP)
		bpf_loop(words, set_word_xdp, &w, 0);
	else
		bpf_loop(words, set_word_tc, &w, 0);
}

struct next_reader {
	__u32 port_base, numnodes, after, self;
	__s32 found;
};

static __attribute__((unused)) long next_reader_one(__u32 i, struct next_reader *n)
{
	__u32 port = n->after + 1 + i, at;
	struct ipn_port_out *dest;

	if (port >= n->numnodes)
		port -= n->numnodes;
	if (port == n->self)
		return 0;
	at = n->port_base + port;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	if (!dest || !dest->kind)
		return 0;
	if (dest->kind == IPN_KIND_PROC ? !(dest->flags & IPN_PF_READER)
					: !(dest->flags & IPN_PF_UP))
		return 0;
	n->found = port;
	return 1;
}

/* The next port behind `after`, round about, that can receive and is not the sender; or -1. */
INLINE __s32 ipn_next_reader(const struct ipn_msg *m, __u32 after)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct next_reader n = { .port_base = m->port_base, .self = m->port, .found = -1 };

	if (!net)
		return -1;
	n.numnodes = net->numnodes;
	n.after = after < n.numnodes ? after : n.numnodes - 1;
	bpf_loop(n.numnodes, next_reader_one, &n, 0);
	return n.found;
}

/* --- handlemsg ----------------------------------------------------------------------------- */

typedef struct verdict (*send_fn)(const struct ipn_ctx *, struct ipn_msg *);

/*
 * send_message for one hook, as a function of its own: the program and what it does for each
 * message of a batch share it, and so it is on the stack, which is short, once.
 */
typedef int (*message_fn)(void *ctx, struct ipn_msg *, struct ipn_net_fast *);

INLINE int send_message(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
			send_fn handle)
{
	struct verdict v;

	m->draft = DRAFT_NONE;
	m->draft_at = 0;
	v = handle(c, m);
	switch (v.kind) {
	case VERDICT_PORT:
		send_port(c, m, net, v.arg);
		break;
	case VERDICT_FLOOD:
		send_flood(c, m, net);
		break;
	case VERDICT_NONE:
		break;
	default:
		stats_drop(m->node, v.arg);
	}
	return act_drop(c);
}

INLINE long send_batch_one(struct batch *b, message_fn message)
{
	struct ipn_net_fast *net;
	struct ipn_msg *m;
	long end;
	__u32 id;

	m = policy_batch_next(b, &end);
	if (!m)
		return end;
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!net)
		return 1;
	m->processes_only = 1;
	message(b->xdp, m, net);
	policy_batch_took(b, m);
	return m->refused ? 1 : 0;
}

INLINE int send_run(void *ctx, const enum ipn_hook_id hook, message_fn message, batch_fn one)
{
	const struct ipn_ctx c = { ctx, hook, 1 };
	__u32 zero = 0, id, gw;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net;

	if (!m)
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!net) {
		stats_drop(m->node, IPN_DROP_NO_PORT);
		return hook == HOOK_TC && m->host_copy ? TC_PASS : act_drop(&c);
	}
	if (hook == HOOK_XDP) {
		if (m->batch)
			return policy_batch(ctx, m, net, one);
		if (READ_ONCE(net->flood_len) && m->len >= DEVICE_MIN)
			return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
	} else if (m->host_copy) {
		/* what the policy makes of it, it makes of a clone: the host gets it as it came */
		gw = segmenter();
		if (gw)
			to_segmenter(ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return TC_PASS;
	} else if (!m->whole) {
		gw = segmenter();
		if (!gw)
			return drop(&c, m->node, IPN_DROP_SEGMENTER);
		WRITE_ONCE(((struct __sk_buff *)ctx)->mark, segmenter_mark(m));
		return bpf_redirect(gw, 0);
	}
	m->processes_only = hook == HOOK_XDP;
	return message(ctx, m, net);
}

#define SEND_MESSAGE(name, handle, hook)                                   \
	NOINLINE int message_##hook##_##name(void *ctx, struct ipn_msg *m, \
					     struct ipn_net_fast *net)     \
	{                                                                  \
		const struct ipn_ctx c = { ctx, HOOK_##hook, 1 };          \
                                                                           \
		return send_message(&c, m, net, handle);                   \
	}

#define IPN_POLICY_SEND(name, handle)                                                 \
	SEND_MESSAGE(name, handle, XDP)                                               \
	SEND_MESSAGE(name, handle, TC)                                                \
	static long batch_one_##name(__u32 i, struct batch *b)                        \
	{                                                                             \
		return send_batch_one(b, message_XDP_##name);                         \
	}                                                                             \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)                             \
	{                                                                             \
		return send_run(ctx, HOOK_XDP, message_XDP_##name, batch_one_##name); \
	}                                                                             \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx)                            \
	{                                                                             \
		return send_run(ctx, HOOK_TC, message_TC_##name, NULL);               \
	}                                                                             \
	IPN_POLICY_MARK

/* --- verdict and rewriting ------------------------------------------------------------------ */

/*
 * IPN_POLICY_REWRITE: between the two others. As with IPN_POLICY, frames come as they are, not cut,
 * and one verdict brings them to one port by the short way; the policy may rewrite bytes of the
 * frame in place before (ipn_store), and it may make messages of its own with drafts. Two verdicts
 * more say that a message is to be seen again elsewhere, and nothing may have been changed then:
 *
 *   to_devices()   at XDP: in the tc program of the same tap, where devices can be sent to
 *   to_whole()     at tc: when it has come out of the segmenter, cut and with whole checksums
 *
 * To a process go whole frames only. A grabbed interface's frames all go by the segmenter, as
 * clones, since the host is to see them as they came, and so do those of sock ports, which the
 * manager's thread puts there. A batch is refused: its messages come singly.
 */
INLINE struct verdict to_devices(void)
{
	return (struct verdict){ VERDICT_UP, 0 };
}

INLINE struct verdict to_whole(void)
{
	return (struct verdict){ VERDICT_WHOLE, 0 };
}

/* Stores len bytes (a constant) at `off` of the message, in the frame. sum: at tc, repair it. */
INLINE long ipn_store(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 off, void *from,
		      __u32 len, __u64 sum)
{
	if (c->hook == HOOK_XDP)
		return bpf_xdp_store_bytes(c->ctx, m->off + off, from, len);
	return bpf_skb_store_bytes(c->ctx, m->off + off, from, len, sum);
}

INLINE int rewrite_run(void *ctx, const enum ipn_hook_id hook, send_fn handle)
{
	const struct ipn_ctx c = { ctx, hook, POLICY_REWRITES };
	__u32 zero = 0, id, gw;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net;
	struct verdict v;

	if (!m)
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (unlikely(!net))
		return drop(&c, m->node, IPN_DROP_NO_PORT);
	/* the policy thinks of a process there, which it can answer */
	if (hook == HOOK_XDP && !m->off)
		return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
	if (hook == HOOK_XDP && unlikely(m->batch)) {
		pool_refuse(&c, m, IPN_TX_REFUSED >> 32, 0);
		return XDP_DROP;
	}
	if (hook == HOOK_TC && unlikely(m->host_copy)) {
		gw = segmenter();
		if (gw)
			to_segmenter(ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return TC_PASS;
	}
	m->processes_only = 0; /* what was in the segmenter has not been anywhere else */
	m->draft = DRAFT_NONE;
	m->draft_at = 0;
	v = handle(&c, m);
	switch (v.kind) {
	case VERDICT_PORT:
		return deliver_port(&c, m, net, v.arg);
	case VERDICT_UP:
		if (hook == HOOK_XDP)
			return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
		return drop(&c, m->node, IPN_DROP_NO_PORT);
	case VERDICT_WHOLE:
		if (hook == HOOK_TC && !m->whole)
			return divert_to_segmenter(&c, m);
		return drop(&c, m->node, IPN_DROP_SEGMENTER);
	case VERDICT_NONE:
		return act_drop(&c);
	default:
		return drop(&c, m->node, v.arg);
	}
}

/*
 * From a sock port. Its program cannot write into the message and has no memory of its own, so the
 * policy sees it at tc: the manager's thread puts it into the segmenter, with the port as its mark.
 */
INLINE int rewrite_sk(struct __sk_buff *ctx)
{
	const struct ipn_ctx c = { ctx, HOOK_SK, 0 };
	struct ipn_msg m = { 0 };

	if (policy_sk_start(ctx, &m))
		return SK_DROP;
	stats_in_sk(m.node, m.len);
	punt(&c, &m, IPN_PUNT_POLICY, 0, m.gen);
	return SK_DROP;
}

#define IPN_POLICY_REWRITE(name, handle)                       \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)      \
	{                                                      \
		return rewrite_run(ctx, HOOK_XDP, handle);     \
	}                                                      \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx)     \
	{                                                      \
		return rewrite_run(ctx, HOOK_TC, handle);      \
	}                                                      \
	SEC("sk_skb") int ipn_sk_##name(struct __sk_buff *ctx) \
	{                                                      \
		return rewrite_sk(ctx);                        \
	}                                                      \
	IPN_POLICY_MARK

/* --- callbacks ----------------------------------------------------------------------------- */

/*
 * IPN_ON(setsockopt) { ... return 0; }: a callback, with `call` (struct ipn_call in policy_abi.h)
 * for its arguments. Run by the manager, one at a time. Returns 0 or -errno; newport the port.
 */
#define IPN_ON(what)                                                            \
	static __always_inline int on_##what(struct ipn_call *call);            \
	SEC("syscall") int ipn_##what(void *ctx)                                \
	{                                                                       \
		__u32 zero = 0;                                                 \
		struct ipn_call *call = bpf_map_lookup_elem(&ipn_calls, &zero); \
                                                                                \
		return call ? on_##what(call) : -1;                             \
	}                                                                       \
	static __always_inline int on_##what(struct ipn_call *call)

/* In a callback: where to make a message, IPN_DRAFT_SIZE bytes. */
INLINE __u8 *ipn_call_draft(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ipn_drafts, &zero);
}

/* The message of a callback: from nobody. */
INLINE struct ipn_net_fast *call_message(const struct ipn_call *call, __u32 len, struct ipn_msg *m)
{
	__u32 id = call->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (!net || !net->policy || len > net->mtu)
		return NULL;
	m->net = id;
	m->port = IPN_PORT_NONE;
	m->len = len;
	m->port_base = net->port_base;
	return net;
}

/*
 * In a callback: sends the first len bytes of ipn_call_draft() to the process at a port of the
 * network. 0, or -1: too long, or no process that receives is there.
 */
INLINE int ipn_call_send(const struct ipn_call *call, __u32 port, __u32 len)
{
	const struct ipn_ctx c = { NULL, HOOK_CALL, 1 };
	struct ipn_msg m = { 0 };
	struct ipn_net_fast *net = call_message(call, len, &m);
	struct ipn_port_out *dest;
	__u32 at;

	if (!net || port >= net->numnodes)
		return -1;
	at = net->port_base + port;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	if (!dest || dest->kind != IPN_KIND_PROC || !(dest->flags & IPN_PF_READER))
		return -1;
	if (log_write(&c, &m, net->log_class, IPN_LOG_OF_NODE(dest->node), net->log_mask, 0,
		      port) >= 0)
		return -1;
	wake_one(net, port);
	return 0;
}

/* The same to all processes that receive. */
INLINE int ipn_call_flood(const struct ipn_call *call, __u32 len)
{
	const struct ipn_ctx c = { NULL, HOOK_CALL, 1 };
	struct ipn_msg m = { 0 };
	struct ipn_net_fast *net = call_message(call, len, &m);

	if (!net || log_write(&c, &m, net->log_class, IPN_LOG_OF_NET(call->net), net->log_mask, 0,
			      IPN_PORT_NONE) >= 0)
		return -1;
	if (READ_ONCE(net->sleep_any))
		wake_sleepers(call->net);
	return 0;
}

/* --- private data -------------------------------------------------------------------------- */

/*
 * IPN_NET_DATA(name, struct mine): a value for each network; ipn_net_data(&name, id) finds it. Zero
 * when the policy is loaded; newnet is the place to set it up.
 */
#define IPN_NET_DATA(name, data)                   \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, IPN_MAX_NETS); \
		__type(key, __u32);                \
		__type(value, data);               \
	} name SEC(".maps")

INLINE void *ipn_net_data(void *map, __u32 net)
{
	return bpf_map_lookup_elem(map, &net);
}

/*
 * IPN_PORT_DATA(name, struct mine): a value for each port that has one. ipn_port_set stores it,
 * ipn_port_data finds it (or NULL), ipn_port_clear removes it: delport is the place for that.
 */
struct ipn_port_key {
	__u32 net;
	__u32 port;
};
#define IPN_PORT_DATA(name, data)                     \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(max_entries, IPN_MAX_PORTS);   \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, struct ipn_port_key);     \
		__type(value, data);                  \
	} name SEC(".maps")

INLINE void *ipn_port_data(void *map, __u32 net, __u32 port)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_lookup_elem(map, &key);
}

INLINE long ipn_port_set(void *map, __u32 net, __u32 port, const void *value)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_update_elem(map, &key, value, BPF_ANY);
}

INLINE long ipn_port_clear(void *map, __u32 net, __u32 port)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_delete_elem(map, &key);
}

#endif
