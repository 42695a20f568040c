// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policies: the built-in ones, and those that users load.
 *
 * A loaded policy is a directory of pins below the fabric's:
 *
 *	policy/NUMBER/info       map: number, name, ABI version
 *	policy/NUMBER/xdp, tc    handlemsg for each hook
 *	policy/NUMBER/sk         the same for sock ports; a policy without takes none
 *	policy/NUMBER/call_NAME  callbacks
 *	policy/NUMBER/map_NAME   the maps of its own
 *
 * It is built in policy/NUMBER_new and renamed when it is whole; then its programs go into the
 * program arrays, by which messages find them. A new manager reads the directories in the same way
 * as the one that loaded them, so nothing is known of a policy that is not pinned.
 */
#include "manager/policies/policy.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <stdarg.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"
#include "manager/policies/l3.h"

static const char *const call_names[IPN_CALLS] = IPN_CALL_NAMES;

const char *policy_call_name(enum ipn_policy_call which)
{
	return call_names[which];
}

/* --- what is there --- */

static int builtin_add(struct policies *ps, __u32 number, const char *name)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->number = number;
	p->builtin = true;
	util_copy(p->name, sizeof(p->name), name);
	for (int i = 0; i < IPN_CALLS; i++)
		p->call[i] = -1;
	ps->at[number] = p;
	return 0;
}

static void policy_free(struct policy *p)
{
	for (int i = 0; p && i < IPN_CALLS; i++)
		util_close_fd(&p->call[i]);
	free(p);
}

void policies_free(struct policies *ps)
{
	if (!ps)
		return;
	for (__u32 i = 0; i < IPN_POLICY_MAX; i++)
		policy_free(ps->at[i]);
	free(ps);
}

__u32 policy_find(const struct policies *ps, const char *name)
{
	for (__u32 i = 0; i < IPN_POLICY_MAX; i++)
		if (ps->at[i] && !strcmp(ps->at[i]->name, name))
			return i;
	return 0;
}

void policy_describe(const struct policies *ps, __u32 number, __u32 nets,
		     struct ipn_ctl_policy *out)
{
	const struct policy *p = ps->at[number];

	*out = (struct ipn_ctl_policy){ .number = number, .builtin = p->builtin, .nets = nets };
	memcpy(out->name, p->name, sizeof(out->name));
	for (int i = 0; i < IPN_CALLS; i++)
		out->calls |= p->call[i] >= 0 ? 1U << i : 0;
	if (number == IPN_POLICY_L3)
		out->calls = 1U << IPN_CALL_SETSOCKOPT | 1U << IPN_CALL_GETSOCKOPT;
}

/* --- callbacks --- */

bool policy_has_builtin(__u32 number, enum ipn_policy_call which)
{
	return number == IPN_POLICY_L3 &&
	       (which == IPN_CALL_SETSOCKOPT || which == IPN_CALL_GETSOCKOPT);
}

int policy_call_builtin(struct policies *ps, __u32 net, __u32 numnodes, enum ipn_policy_call which,
			struct ipn_call *call, struct errtext *e)
{
	if (which == IPN_CALL_SETSOCKOPT)
		return l3_set(ps->bpf, net, numnodes, call->name, call->data, call->len, e);
	return l3_get(ps->bpf, net, call->name, call->data, &call->len, e);
}

bool policy_has(const struct policies *ps, __u32 number, enum ipn_policy_call which)
{
	const struct policy *p = ps->at[number % IPN_POLICY_MAX];

	return p && p->call[which] >= 0;
}

int policy_call(struct policies *ps, __u32 number, enum ipn_policy_call which,
		struct ipn_call *call)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	__u32 zero = 0;
	int r;

	if (!policy_has(ps, number, which))
		return -EOPNOTSUPP;
	if (bpf_map_update_elem(ps->bpf->fd_calls, &zero, call, BPF_ANY) ||
	    bpf_prog_test_run_opts(ps->at[number]->call[which], &opts))
		return -errno;
	r = (int)opts.retval;
	if (r < -4095 || (r > 0 && which != IPN_CALL_NEWPORT)) {
		log_warning("policy %s: %s returned %d, which is no errno", ps->at[number]->name,
			    call_names[which], r);
		return -EINVAL;
	}
	if (r >= 0 && bpf_map_lookup_elem(ps->bpf->fd_calls, &zero, call))
		return -errno;
	return r;
}

/* --- pins --- */

int policy_path(const struct policies *ps, char *path, const char *fmt, ...)
{
	int n = snprintf(path, POLICY_PATH_LEN, "%s/policy/", ps->bpf->dir);
	va_list ap;

	va_start(ap, fmt);
	n += vsnprintf(path + n, POLICY_PATH_LEN - (size_t)n, fmt, ap);
	va_end(ap);
	return n < POLICY_PATH_LEN ? 0 : -ENAMETOOLONG;
}

static int info_read(struct policies *ps, __u32 number, struct ipn_policy_info *info)
{
	struct bpf_map_info map = { 0 };
	__u32 zero = 0, len = sizeof(map);
	_cleanup_close_ int fd = -1;
	char path[POLICY_PATH_LEN];

	policy_path(ps, path, "%u/info", number);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &map, &len))
		return -errno;
	if (map.type != BPF_MAP_TYPE_ARRAY || map.value_size != sizeof(*info))
		return -EPROTO;
	if (bpf_map_lookup_elem(fd, &zero, info))
		return -errno;
	info->name[sizeof(info->name) - 1] = '\0';
	return info->number == number && info->abi == IPN_ABI_VERSION ? 0 : -EPROTO;
}

/* Messages of its networks find it from here on. */
static int programs_set(struct policies *ps, __u32 number)
{
	_cleanup_close_ int xdp = -1;
	_cleanup_close_ int tc = -1;
	_cleanup_close_ int sk = -1;
	char path[POLICY_PATH_LEN];

	policy_path(ps, path, "%u/sk", number);
	sk = bpf_obj_get(path);
	policy_path(ps, path, "%u/xdp", number);
	xdp = bpf_obj_get(path);
	policy_path(ps, path, "%u/tc", number);
	tc = bpf_obj_get(path);
	if (xdp < 0 || tc < 0)
		return -errno;
	if (bpf_map_update_elem(ps->bpf->fd_pol_xdp, &number, &xdp, BPF_ANY) ||
	    bpf_map_update_elem(ps->bpf->fd_pol_tc, &number, &tc, BPF_ANY) ||
	    (sk >= 0 && bpf_map_update_elem(ps->bpf->fd_pol_sk, &number, &sk, BPF_ANY)))
		return -errno;
	return 0;
}

static void programs_clear(struct policies *ps, __u32 number)
{
	bpf_map_delete_elem(ps->bpf->fd_pol_xdp, &number);
	bpf_map_delete_elem(ps->bpf->fd_pol_tc, &number);
	bpf_map_delete_elem(ps->bpf->fd_pol_sk, &number);
}

/* Makes the policy of what is pinned. */
int policy_open(struct policies *ps, __u32 number)
{
	struct policy *p = calloc(1, sizeof(*p));
	struct ipn_policy_info info;
	char path[POLICY_PATH_LEN];
	int r;

	if (!p)
		return -ENOMEM;
	for (int i = 0; i < IPN_CALLS; i++) {
		policy_path(ps, path, "%u/call_%s", number, call_names[i]);
		p->call[i] = bpf_obj_get(path);
	}
	r = info_read(ps, number, &info);
	if (!r)
		r = programs_set(ps, number);
	if (r) {
		policy_free(p);
		programs_clear(ps, number);
		return r;
	}
	p->number = number;
	util_copy(p->name, sizeof(p->name), info.name);
	ps->at[number] = p;
	return 0;
}

static int adopt_dir(struct policies *ps, const char *name)
{
	char path[POLICY_PATH_LEN], *end;
	unsigned long number = strtoul(name, &end, 10);
	int r = -ENOENT;

	if (end != name && !*end && number >= IPN_POLICY_FIRST && number < IPN_POLICY_MAX &&
	    !ps->at[number])
		r = policy_open(ps, (__u32)number);
	if (!r || util_cannot_tell(r))
		return r;
	if (strcmp(end, "_new")) /* else: the manager died while it loaded it */
		log_err("policy %s: cannot take it over: %s", name, strerror(-r));
	policy_path(ps, path, "%s", name);
	bpf_tree_remove(path);
	return 0;
}

static int adopt_dirs(struct policies *ps)
{
	char path[POLICY_PATH_LEN];
	struct dirent *e;
	int r = 0;
	DIR *d;

	policy_path(ps, path, "%s", "");
	d = opendir(path);
	if (!d)
		return -errno;
	while (!r && (errno = 0, e = readdir(d)))
		if (e->d_name[0] != '.')
			r = adopt_dir(ps, e->d_name);
	if (!r)
		r = -errno;
	closedir(d);
	if (r)
		return r;
	for (__u32 i = IPN_POLICY_FIRST; i < IPN_POLICY_MAX; i++)
		if (!ps->at[i])
			programs_clear(ps, i);
	return 0;
}

int policies_open(struct policies **out, struct bpf_state *bpf)
{
	struct policies *ps = calloc(1, sizeof(*ps));
	int r;

	if (!ps)
		return -ENOMEM;
	ps->bpf = bpf;
	r = builtin_add(ps, IPN_POLICY_BROADCAST, "broadcast");
	if (!r)
		r = builtin_add(ps, IPN_POLICY_SWITCH, "switch");
	if (!r)
		r = builtin_add(ps, IPN_POLICY_L3, "l3");
	if (!r && bpf->adopted)
		r = adopt_dirs(ps);
	if (r)
		policies_free(ps);
	else
		*out = ps;
	return r;
}

int policy_unload(struct policies *ps, __u32 number, __u32 nets, struct errtext *e)
{
	struct policy *p = number < IPN_POLICY_MAX ? ps->at[number] : NULL;
	char path[POLICY_PATH_LEN];

	if (!p)
		return err_text(e, -ENOENT, "there is no policy %u (see: ipn-fabric policy list)",
				number);
	if (p->builtin)
		return err_text(e, -EINVAL, "policy %s is built in and cannot be unloaded",
				p->name);
	if (nets)
		return err_text(e, -EADDRINUSE,
				"policy %s is used by %u network%s (remove them first: ipn-fabric "
				"net del)",
				p->name, nets, nets == 1 ? "" : "s");
	programs_clear(ps, number);
	policy_path(ps, path, "%u", number);
	bpf_tree_remove(path);
	ps->at[number] = NULL;
	policy_free(p);
	return 0;
}
