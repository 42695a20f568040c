/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A message, as a policy gets it. */
#ifndef IPN_KIT_MESSAGE_H
#define IPN_KIT_MESSAGE_H

#include <linux/types.h>

#include <ipn/abi.h>

/*
 * What a policy passes on to the functions of the kit: at which hook it runs. It is never made by a
 * policy, and its fields are private.
 */
struct ipn_ctx;

/*
 * A policy reads net, port, kind, len and mtu; it changes none of them. All other fields are
 * private and may become others with any version of the kit. The layout is part of the ABI: the
 * programs of the hooks fill in what a policy reads.
 */
struct ipn_msg {
	__u32 net;  /* id of the network, below IPN_MAX_NETS; used again when that is gone */
	__u32 port; /* number of the port it came from, below IPN_NET_PORTS */
	__u32 kind; /* enum ipn_kind of that port */
	/* private: more of struct ipn_port_in, which delivery needs */
	__u32 node;
	__u32 port_base; /* of the network, as it was when the message came */
	__u32 gen;
	__u32 policy;
	__u32 ifindex;

	__u32 len; /* bytes of the message, a VLAN tag that the kernel holds apart included */
	/* private */
	__u32 off;     /* where it starts in the frame: after a process's private header */
	__u32 vlan;    /* the tag the kernel holds apart, TPID << 16 | TCI, or 0 */
	__u32 whole;   /* checksums are complete and it is one frame, not many */
	__u32 batch;   /* messages in the frame that came as a batch; else 0 */
	__u32 wake;    /* something of the batch went into the network's log */
	__u32 refused; /* IPN_TX_* >> 32: the pool did not take it */

	__u32 mtu; /* of the network: bytes that a message may have */
	/* private */
	__u32 processes_only; /* out of the segmenter: devices have had theirs */
	__u32 draft;          /* enum ipn_draft; only looked at where ipn_ctx says `sends` */
	__u32 draft_at;       /* where the message starts in the draft */
	__u32 host_copy;      /* came into a grabbed interface: the host goes on with the frame */
	__u32 cable;          /* came over a cable: CABLE_* of cable.h, the number of hops too */
	__u32 pad;
	__u64 now, tick; /* msg_now */
};
IPN_ABI_ASSERT(ipn_msg, 104);

#endif
