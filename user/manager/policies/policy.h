/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies: the three built-in ones, and those that users load (loader.h). What is known of a
 * loaded policy stands in its pins, so that the next manager knows it, too.
 */
#ifndef IPN_MANAGER_POLICY_H
#define IPN_MANAGER_POLICY_H

#include <ipn/abi.h>
#include <ipn/control.h>
#include <ipn/policy_abi.h>
#include <stdbool.h>

struct bpf_state;
struct errtext;

/* Owned by struct policies. */
struct policy {
	__u32 number;
	bool builtin;
	char name[IPN_POLICY_NAME_MAX];
	int call[IPN_CALLS]; /* programs; -1: it has none */
};

struct loading;
struct policies {
	struct bpf_state *bpf;
	struct policy *at[IPN_POLICY_MAX];
	struct loading *loadings; /* on their way */
};

/* The built-in ones, and, if the fabric was there before, those whose pins are there. */
int policies_open(struct policies **out, struct bpf_state *bpf);
void policies_free(struct policies *ps);

/* The number of a policy by its name; 0: there is none. */
__u32 policy_find(const struct policies *ps, const char *name);
/* nets: how many networks use it. */
void policy_describe(const struct policies *ps, __u32 number, __u32 nets,
		     struct ipn_ctl_policy *out);
/* Errors as for IPN_CTL_POLICY_UNLOAD. nets: how many networks use it. */
int policy_unload(struct policies *ps, __u32 number, __u32 nets, struct errtext *e);

/* Has it a program for this callback? */
bool policy_has(const struct policies *ps, __u32 number, enum ipn_policy_call which);
/*
 * Runs a callback. `call` is filled in by the caller, and its data as the callback left it.
 * Returns what the callback did (>= 0, or -errno), or -EOPNOTSUPP when the policy has none.
 */
int policy_call(struct policies *ps, __u32 number, enum ipn_policy_call which,
		struct ipn_call *call);
/*
 * Options of a built-in policy: functions of the manager, with the same arguments, since what they
 * do no BPF program could (make maps, walk a trie).
 */
bool policy_has_builtin(__u32 number, enum ipn_policy_call which);
int policy_call_builtin(struct policies *ps, __u32 net, __u32 numnodes, enum ipn_policy_call which,
			struct ipn_call *call, struct errtext *e);
/* The word of a callback. */
const char *policy_call_name(enum ipn_policy_call which);

/* Pins, for loader.c: the path of one, PATH_LEN bytes; the policy that they make, opened. */
#define POLICY_PATH_LEN 512
int policy_path(const struct policies *ps, char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int policy_open(struct policies *ps, __u32 number);

#endif
