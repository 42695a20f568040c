/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file of `ipn-fabric up --config`: INI, read with inih.
 *
 *   [fabric]
 *   hook = auto | tcx | clsact
 *
 *   [network /run/ipn/lan]        one section per network; the path is absolute
 *   policy = switch | broadcast | l3 | the name or number of a loaded one
 *   lossless = no | yes
 *   mtu = 1514    nodes = 32    pool = 8    mode = 0770
 *   routes = 4096                 policy l3: size of the tables; and any number of
 *   route = 10.9.0.0/16 via 10.1.0.2 [port N]   or: PREFIX port N
 *   addr = 10.1.0.1/24 port N [mtu N]           of ports that have no section: those of processes
 *   neigh = 10.1.0.9 02:00:00:00:00:09 port N
 *
 *   [port vm0]                    one section per port; the word is a label, unique
 *   network = /run/ipn/lan        a network of this file
 *   tap = vm0                     or: veth = name[:netns]   or: host = name   or: grab = name
 *                                 or: xsk = name, with frames = n, frame-size = n, own = yes
 *                                 or: cable = /run/ipn/other, another network of this file,
 *                                     with port2 = n
 *                                 or: vde = directory, with mode = 0700
 *                                 or: unix = file, with peer = file, mode = 0700
 *   port = 3    descr = text    persist = yes
 *   addr = 10.1.0.1/24 [mtu N]    policy l3: the router's, any number
 *   neigh = 10.1.0.9 02:00:00:00:00:09
 */
#ifndef IPN_CONFIG_H
#define IPN_CONFIG_H

#include <ipn/abi.h>
#include <ipn/l3.h>
#include <ipn/policy_abi.h>
#include <stdbool.h>
#include <stddef.h>

struct errtext;

enum config_hook { CONFIG_HOOK_AUTO, CONFIG_HOOK_TCX, CONFIG_HOOK_CLSACT };

struct config_net {
	struct config_net *next; /* in the order of the file */
	unsigned int line;       /* of its section */
	char path[IPN_PATH_MAX];
	__u32 policy;                          /* IPN_POLICY_ANY: by its name */
	char policy_name[IPN_POLICY_NAME_MAX]; /* of one that was loaded */
	unsigned int policy_line;              /* where it is named */
	__u32 flags;                           /* IPN_FLAG_LOSSLESS */
	__u32 mtu;                             /* defaults filled in */
	__u32 numnodes;
	__u32 pool;
	__u32 mode;
	__u32 routes; /* 0: the default */
};

struct config_port {
	struct config_port *next;
	unsigned int line; /* of its section */
	char label[64];
	char path[IPN_PATH_MAX];
	enum ipn_kind kind;
	enum ipn_listener_kind listener; /* kind sock: 0 for all others */
	char name[IPN_NAME_MAX];         /* of the interface; empty for a cable and a listener */
	char other[IPN_PATH_MAX]; /* cable: the network of its other end; listener: the path */
	char peer[IPN_PATH_MAX];  /* unix listener; empty: who writes first */
	char netns[64];           /* empty: the fabric's */
	__s32 port;               /* -1: any */
	__s32 port2;              /* cable: at the other end */
	char descr[IPN_DESCR_MAX];
	__u32 frames, frame_size; /* xsk; 0: the default */
	bool own;
	__u32 mode; /* listener */
};

/* An option of the policy l3. */
struct config_l3 {
	struct config_l3 *next;
	unsigned int line;
	const struct config_net *net;
	const struct config_port *port; /* its number goes into the record; NULL: it is there */
	enum ipn_l3_option option;
	union {
		struct ipn_l3_addr addr;
		struct ipn_l3_route route;
		struct ipn_l3_neigh neigh;
	};
};

struct config {
	enum config_hook hook;
	struct config_net *nets;
	struct config_port *ports;
	struct config_l3 *l3;
};

/*
 * Reads a file. On failure returns -errno (-EINVAL for what is in it) with one line in *e that
 * names file, line, key, value and what would be right; *out is left alone. Unknown sections,
 * unknown keys, keys given twice, numbers out of range, ports of unknown networks are all errors.
 */
int config_read(const char *file, struct config **out, struct errtext *e);
void config_free(struct config *config);

#endif
