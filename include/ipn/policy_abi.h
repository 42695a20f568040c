/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manager and a loaded policy share: the mark of an object, and the call of a callback.
 * A change of any layout here is a change of IPN_ABI_VERSION.
 */
#ifndef IPN_POLICY_ABI_H
#define IPN_POLICY_ABI_H

#include "abi.h"

#define IPN_POLICY_FIRST 4     /* below are the built-in ones */
#define IPN_POLICY_NAME_MAX 16 /* with the final NUL */
#define IPN_CALL_DATA 16384    /* bytes of an option or of the argument of an ioctl */
#define IPN_PORT_NONE (~0U)    /* no port: a bound socket; the network itself as a sender */
#define IPN_DRAFT_ROOM 512     /* bytes before a message in a draft, at most */
#define IPN_DRAFT_SIZE (65536 + IPN_DRAFT_ROOM)

/*
 * The version of the kit (policy.h): what a policy's source may use, and what its object and the
 * loader agree on (sections, names of programs, callbacks). The minor number grows when something
 * is added, the major, together with IPN_ABI_VERSION, when something goes or changes its meaning. A
 * fabric loads objects of its own major version whose minor one is not above its own.
 */
#define IPN_KIT_MAJOR 1
#define IPN_KIT_MINOR 0
#define IPN_KIT_VERSION (IPN_KIT_MAJOR << 16 | IPN_KIT_MINOR)
#define IPN_KIT_MAJOR_OF(version) ((version) >> 16)
#define IPN_KIT_MINOR_OF(version) ((version)&0xffff)

/* Section `ipn_policy` of the object: one of these, made by the macros of policy.h. */
#define IPN_POLICY_MAGIC 0x49504e50u
struct ipn_policy_mark {
	__u32 magic;
	__u32 abi;  /* IPN_ABI_VERSION it was compiled with */
	__u32 call; /* sizeof(struct ipn_call) */
	__u32 kit;  /* IPN_KIT_VERSION it was compiled with */
};

/* The callbacks: a `syscall` program each, ipn_NAME. */
enum ipn_policy_call {
	IPN_CALL_NEWPORT = 0,
	IPN_CALL_DELPORT,
	IPN_CALL_POSTNEWPORT,
	IPN_CALL_PREDELPORT,
	IPN_CALL_NEWNET,
	IPN_CALL_DELNET,
	IPN_CALL_RESIZENET,
	IPN_CALL_SETSOCKOPT,
	IPN_CALL_GETSOCKOPT,
	IPN_CALL_IOCTL,
	IPN_CALLS,
};
#define IPN_CALL_NAMES                                                                 \
	{                                                                              \
		"newport", "delport", "postnewport", "predelport", "newnet", "delnet", \
			"resizenet", "setsockopt", "getsockopt", "ioctl"               \
	}

/*
 * map `calls`, one entry: the arguments of the callback that runs. The manager writes it, runs the
 * program, and reads what it left. One callback runs at a time in the whole fabric.
 */
struct ipn_call {
	__u32 net;      /* network id */
	__u32 port;     /* number; IPN_PORT_NONE when there is none */
	__u32 kind;     /* enum ipn_kind of the port */
	__u32 flags;    /* enum ipn_port_flag of the port */
	__u32 uid;      /* setsockopt, getsockopt, ioctl: who asks; else whose port or network */
	__u32 numnodes; /* of the network; resizenet: as it will be */
	__u32 mtu;
	__u32 name;    /* the option, or the request of an ioctl */
	__u32 len;     /* of data; getsockopt: room for it, then what was left there */
	__u32 manager; /* 1: who asks is a manager of the network (ipn(7)) */
	__u8 data[IPN_CALL_DATA];
};

/* Map `info` of a loaded policy. */
struct ipn_policy_info {
	__u32 number;
	__u32 abi;
	char name[IPN_POLICY_NAME_MAX];
};

IPN_ABI_ASSERT(ipn_policy_mark, 16);
IPN_ABI_ASSERT(ipn_call, 40 + IPN_CALL_DATA);
IPN_ABI_ASSERT(ipn_policy_info, 24);

#endif
