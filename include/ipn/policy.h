/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kit for policies of one's own: BPF programs that decide who receives a message.
 *
 *	#include <ipn/policy.h>
 *
 *	static __always_inline struct verdict handle(const struct ipn_ctx *c, struct ipn_msg *m)
 *	{
 *		return to_flood();
 *	}
 *	IPN_POLICY_SEND(mine, handle);
 *
 *	clang -target bpf -mcpu=v3 -O2 -g -I/usr/include/$(gcc -print-multiarch) \
 *		$(pkg-config --cflags libipn) -c mine.bpf.c -o mine.bpf.o
 *	ipn-fabric policy load mine.bpf.o --number 9 --name mine
 *
 * bpf/policy.h has verdicts and IPN_POLICY, bpf/kit.h everything else: sending to chosen ports,
 * rewriting, callbacks, private data. docs/policies.md teaches them. It needs the headers of
 * libbpf and of the kernel's user space interface, and no vmlinux.h (which would clash with the
 * latter). The programs are GPL: the kernel lets no others use what the kit uses.
 */
#ifndef IPN_POLICY_H
#define IPN_POLICY_H

#include "bpf/policy.h"
#include "bpf/kit.h"

#endif
