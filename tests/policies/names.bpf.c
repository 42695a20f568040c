// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A hub for tests, full of names that the fabric's own programs use for something else: all that
 * does not begin with ipn_ or IPN_ is free for a policy.
 */
#include <ipn/policy.h>

#define INLINE static __attribute__((unused, always_inline)) inline
#define NOINLINE static __attribute__((noinline))
#define GLOBAL __attribute__((noinline, weak))
#define likely(x) (x)
#define unlikely(x) (x)
#define READ_ONCE(x) (x)
#define WRITE_ONCE(x, v) ((x) = (v))
#define CAS(p, old, new) (*(p) == (old) ? (*(p) = (new), 1) : 0)
#define FETCH_ADD(p, v) (*(p) += (v))
#define TC_DROP "this is no number"
#define DEVICE_MIN "nor is this"

enum kind { VERDICT_DROP, VERDICT_FLOOD, HOOK_XDP, HOOK_TC, DRAFT_USED, POOL_FULL };
struct verdict {
	enum kind kind;
};
struct batch {
	__u32 taken;
};
struct page {
	struct batch batch;
};
struct tagged {
	struct page page;
};

/* A structure of the kernel, as this policy needs it. */
struct sk_buff {
	__u32 len;
} __attribute__((preserve_access_index));
struct sock {
	int sk_rcvbuf;
} __attribute__((preserve_access_index));
typedef __u32 kuid_t;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tagged);
} bell SEC(".maps");

INLINE struct verdict drop(void)
{
	return (struct verdict){ VERDICT_DROP };
}

INLINE struct verdict to_port(kuid_t port)
{
	return (struct verdict){ port ? VERDICT_DROP : VERDICT_FLOOD };
}

/* As a function of its own, it is a symbol of the object. */
GLOBAL int port_find(__u32 ifindex)
{
	return ifindex == 0;
}

NOINLINE int punt(struct tagged *t)
{
	if (likely(t))
		FETCH_ADD(&t->page.batch.taken, 1);
	return CAS(&READ_ONCE(t->page.batch.taken), 0, 1);
}

INLINE struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u32 zero = 0;
	struct tagged *t = bpf_map_lookup_elem(&bell, &zero);

	if (!t || punt(t) || to_port(port_find(m->net + 1)).kind == VERDICT_DROP)
		return ipn_drop(IPN_DROP_POLICY);
	return drop().kind == VERDICT_DROP ? ipn_to_flood() : ipn_to_none();
}
IPN_POLICY_SEND(names, handle);
