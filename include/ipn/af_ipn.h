/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The numbers of AF_IPN: address family, policies, options, ioctls and the out-of-band message.
 * They are those of the 2007 posting, so that a program compiled against it keeps its meaning.
 */
#ifndef IPN_AF_IPN_H
#define IPN_AF_IPN_H

#include <linux/ioctl.h>

#ifndef AF_IPN
#define AF_IPN 34
#endif
#ifndef PF_IPN
#define PF_IPN AF_IPN
#endif

/* Policies: the protocol argument of ipn_socket(). */
#define IPN_ANY 0 /* whatever the network at the path uses; cannot create one */
#define IPN_BROADCAST 1
#define IPN_HUB IPN_BROADCAST
#define IPN_VDESWITCH 2
#define IPN_VDESWITCH_L3 3

/* Options at level 0. Those with the PREBIND bit describe the network: only before bind. */
#define IPN_SO_PREBIND 0x80
#define IPN_SO_PORT 0
#define IPN_SO_DESCR 1
#define IPN_SO_CHANGE_NUMNODES 2
#define IPN_SO_HANDLE_OOB 3
#define IPN_SO_WANT_OOB_NUMNODES 4
#define IPN_SO_MTU (IPN_SO_PREBIND | 0)
#define IPN_SO_NUMNODES (IPN_SO_PREBIND | 1)
#define IPN_SO_MSGPOOLSIZE (IPN_SO_PREBIND | 2)
#define IPN_SO_FLAGS (IPN_SO_PREBIND | 3)
#define IPN_SO_MODE (IPN_SO_PREBIND | 4)

#define IPN_PORTNO_ANY (-1)
#define IPN_DESCRLEN 128

#define IPN_FLAG_LOSSLESS 1
#define IPN_FLAG_TERMINATED 0x1000

/* Interface requests. */
#define IPN_SETPERSIST_NETDEV _IOW('I', 200, int)
#define IPN_CLRPERSIST_NETDEV _IOW('I', 201, int)
#define IPN_CONN_NETDEV _IOW('I', 202, int)
#define IPN_JOIN_NETDEV _IOW('I', 203, int)
#define IPN_SETPERSIST _IOW('I', 204, int)

#define IPN_NODEFLAG_TAP 0x10
#define IPN_NODEFLAG_GRAB 0x20

/* Out-of-band messages: level says who speaks (IPN_ANY: the network itself), tag says what. */
#define IPN_OOB_NUMNODE_TAG 0

struct numnode_oob {
	int level;
	int tag;
	int numreaders;
	int numwriters;
};

#endif
