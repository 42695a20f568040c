/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kit for policies of one's own: BPF programs that decide who receives a message.
 *
 *	#include <ipn/policy.h>
 *
 *	static __always_inline struct ipn_decision handle(const struct ipn_ctx *c,
 *							  struct ipn_msg *m)
 *	{
 *		return ipn_to_flood();
 *	}
 *	IPN_POLICY_SEND(mine, handle);
 *
 *	clang -target bpf -mcpu=v3 -O2 -g -I/usr/include/$(gcc -print-multiarch) \
 *		$(pkg-config --cflags libipn) -c mine.bpf.c -o mine.bpf.o
 *	ipn-fabric policy load mine.bpf.o --number 9 --name mine
 *
 * What is public: the names in the headers below, abi.h and policy_abi.h, which all begin with ipn_
 * or IPN_; docs/policies.md teaches them. Names with two underscores (ipn__x, IPN__X), all of
 * kit/private.h, and fields that are said to be private may change with any version. All names that
 * begin with ipn_ and IPN_ are the kit's; any other is free for the policy.
 *
 * The kit needs the headers of libbpf and of the kernel's user space interface, which it includes,
 * and no vmlinux.h (which would clash with the latter). The programs are GPL: the kernel lets no
 * others use what the kit uses.
 */
#ifndef IPN_POLICY_H
#define IPN_POLICY_H

#include "abi.h"
#include "policy_abi.h"

#include "kit/atomic.h"
#include "kit/call.h"
#include "kit/data.h"
#include "kit/decision.h"
#include "kit/draft.h"
#include "kit/message.h"
#include "kit/policy.h"
#include "kit/ports.h"
#include "kit/send.h"

#endif
