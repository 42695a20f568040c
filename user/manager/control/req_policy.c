// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests about policies, and options, which are calls of the policy of a network. */
#include <ipn/policy_abi.h>

#include "common/util.h"
#include "manager/control/monitor.h"
#include "manager/control/request.h"
#include "manager/core/net_policy.h"
#include "manager/core/objects.h"
#include "manager/policies/loader.h"
#include "manager/policies/policy.h"

static void on_policy_loaded(void *arg, __u32 number, int r, const struct errtext *e)
{
	struct ipn_ctl_policy policy;
	struct session *s = arg;

	if (!r) {
		monitor_policy(s->c, s->f->policies->at[number], IPN_WATCH_POLICY);
		policy_describe(s->f->policies, number, 0, &policy);
	}
	session_answer(s, r, e, r ? NULL : &policy, r ? 0 : sizeof(policy), NULL, 0);
}

/* Takes seconds, maybe: others are served meanwhile, and this session when it is done. */
int req_policy_load(struct request *q)
{
	const struct ipn_ctl_policy_load *load = q->body;
	struct session *s = q->s;
	char name[IPN_POLICY_NAME_MAX];
	int r = rights_check(RIGHT_POLICY, &q->s->peer, -1, NULL, &q->e);

	memcpy(name, load->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	if (!r)
		r = policy_load(s->f->policies, s->f->event, q->fds[0], load->number, name,
				on_policy_loaded, s, &s->loading, &q->e);
	return r ? r : session_later(s, q->hdr);
}

int req_policy_unload(struct request *q)
{
	const struct ipn_ctl_policy_unload *unload = q->body;
	struct policies *ps = q->s->f->policies;
	struct policy gone = { .number = unload->number };
	int r = rights_check(RIGHT_POLICY, &q->s->peer, -1, NULL, &q->e);

	if (r)
		return r;
	if (unload->number < IPN_POLICY_MAX && ps->at[unload->number])
		gone = *ps->at[unload->number];
	r = policy_unload(ps, unload->number, net_policy_users(q->s->f, unload->number), &q->e);
	if (!r)
		monitor_policy(q->s->c, &gone, IPN_WATCH_POLICY_GONE);
	return r;
}

/* There are so few that they fit one page. */
int req_policy_list(struct request *q)
{
	const struct fabric *f = q->s->f;
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_policy *out = (void *)(page + 1);

	memset(page, 0, sizeof(*page));
	for (__u64 i = list->from; i < IPN_POLICY_MAX; i++)
		if (f->policies->at[i])
			policy_describe(f->policies, (__u32)i, net_policy_users(f, (__u32)i),
					&out[page->count++]);
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

/* setsockopt, getsockopt, ioctl: for the policy of the session's network. */
static int option_call(struct request *q, enum ipn_policy_call which)
{
	const struct ipn_ctl_option *in = q->body;
	struct ipn_ctl_option *out = (void *)q->reply;
	struct session *s = q->s;
	static struct ipn_call call;
	int r;

	if (!s->net)
		return err_text(&q->e, -ENOTCONN, "this socket has no network");
	if (which != IPN_CALL_IOCTL && in->level != (__s32)s->net->info.policy)
		return err_text(&q->e, -EPROTONOSUPPORT, "%s has policy %u, not %d",
				s->net->info.path, s->net->info.policy, in->level);
	if (in->len > sizeof(in->data))
		return err_text(&q->e, -EINVAL, "%u bytes are too many, the most is %zu", in->len,
				sizeof(in->data));
	/* a process at the network may use it; what it is made of, only who manages the path */
	if (s->net->info.policy == IPN_POLICY_L3 && !s->bound)
		return err_text(&q->e, -EPERM, "this socket is not bound to %s", s->net->info.path);
	if (s->net->info.policy == IPN_POLICY_L3 && which != IPN_CALL_GETSOCKOPT) {
		r = rights_check(RIGHT_OPTION, &s->peer, s->net->path_fd, s->net->info.path, &q->e);
		if (r)
			return r;
	}
	call.uid = s->peer.uid;
	call.manager = rights_manages(&s->peer, s->net->path_fd);
	call.name = in->name;
	call.len = in->len;
	memset(call.data, 0, sizeof(call.data));
	memcpy(call.data, in->data, in->len);
	r = net_policy_option(s->net, session_node(s), which, &call, &q->e);
	if (r < 0)
		return r;
	if (which == IPN_CALL_SETSOCKOPT)
		return 0;
	*out = (struct ipn_ctl_option){ .level = in->level, .name = in->name, .len = in->len };
	if (call.len < out->len || which == IPN_CALL_IOCTL)
		out->len = call.len < sizeof(out->data) ? call.len : sizeof(out->data);
	memcpy(out->data, call.data, out->len);
	q->reply_len = sizeof(*out);
	return 0;
}

int req_setsockopt(struct request *q)
{
	return option_call(q, IPN_CALL_SETSOCKOPT);
}

int req_getsockopt(struct request *q)
{
	return option_call(q, IPN_CALL_GETSOCKOPT);
}

int req_ioctl(struct request *q)
{
	return option_call(q, IPN_CALL_IOCTL);
}
