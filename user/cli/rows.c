// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/rows.h"

#include <ipn/af_ipn.h>
#include <ipn/control.h>

#include "cli/fabric.h"
#include "common/names.h"
#include "common/util.h"

/* The word of a number, or the number as text. */
static json_t *word(const char *name, __u32 number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	return json_string(name ? name : text);
}

static json_t *info_hook(const void *row)
{
	const struct ipn_ctl_info *info = row;

	return word(names_hook(info->hook), info->hook);
}

static const struct display_column info_columns[] = {
	DISPLAY_FIELD("pid", "pid", DISPLAY_U32, struct ipn_ctl_info, pid),
	DISPLAY_FIELD("version", "version", DISPLAY_TEXT, struct ipn_ctl_info, version),
	DISPLAY_FIELD("uptime (s)", "uptime", DISPLAY_U32, struct ipn_ctl_info, uptime),
	DISPLAY_FIELD("adopted", "adopted", DISPLAY_BOOL, struct ipn_ctl_info, adopted),
	DISPLAY_FIELD("pins", "bpffs", DISPLAY_TEXT, struct ipn_ctl_info, bpffs),
	DISPLAY_FIELD("netns", "netns", DISPLAY_TEXT, struct ipn_ctl_info, netns),
	DISPLAY_CALL("hook", "hook", info_hook),
	DISPLAY_FIELD("networks", "networks", DISPLAY_U32, struct ipn_ctl_info, nets),
	DISPLAY_FIELD("ports", "ports", DISPLAY_U32, struct ipn_ctl_info, ports),
};

/* Names of loaded policies, as far as the networks to be shown have such: see rows_networks. */
static char loaded[IPN_POLICY_MAX][IPN_POLICY_NAME_MAX];

static json_t *net_policy(const void *row)
{
	const struct ipn_ctl_net *net = row;

	if (net->policy < IPN_POLICY_MAX && loaded[net->policy][0])
		return display_string(loaded[net->policy], sizeof(loaded[0]));
	return word(names_policy(net->policy), net->policy);
}

static json_t *net_use(const void *row)
{
	const struct ipn_ctl_net *net = row;

	return json_sprintf("%u/%u", net->ports, net->numnodes);
}

static json_t *net_lossless(const void *row)
{
	return json_boolean(((const struct ipn_ctl_net *)row)->flags & IPN_FLAG_LOSSLESS);
}

static const struct display_column net_columns[] = {
	DISPLAY_FIELD("NETWORK", "path", DISPLAY_TEXT, struct ipn_ctl_net, path),
	DISPLAY_FIELD(NULL, "id", DISPLAY_U32, struct ipn_ctl_net, id),
	DISPLAY_CALL("POLICY", "policy", net_policy),
	DISPLAY_FIELD("MTU", "mtu", DISPLAY_U32, struct ipn_ctl_net, mtu),
	DISPLAY_CALL("PORTS", NULL, net_use),
	DISPLAY_FIELD(NULL, "nodes", DISPLAY_U32, struct ipn_ctl_net, numnodes),
	DISPLAY_FIELD(NULL, "ports", DISPLAY_U32, struct ipn_ctl_net, ports),
	DISPLAY_FIELD("READERS", "readers", DISPLAY_U32, struct ipn_ctl_net, readers),
	DISPLAY_FIELD("WRITERS", "writers", DISPLAY_U32, struct ipn_ctl_net, writers),
	DISPLAY_FIELD("POOL", "pool", DISPLAY_U32, struct ipn_ctl_net, pool),
	DISPLAY_CALL(NULL, "lossless", net_lossless),
	DISPLAY_FIELD("MODE", "mode", DISPLAY_OCTAL, struct ipn_ctl_net, mode),
	DISPLAY_FIELD("UID", "uid", DISPLAY_U32, struct ipn_ctl_net, uid),
	DISPLAY_FIELD("PERSISTENT", "persistent", DISPLAY_BOOL, struct ipn_ctl_net, persistent),
};

static bool port_flag(const void *row, enum ipn_port_flag flag)
{
	return ((const struct ipn_ctl_port *)row)->flags & flag;
}

static json_t *port_kind(const void *row)
{
	const struct ipn_ctl_port *port = row;

	return word(names_kind(port->kind), port->kind);
}

static json_t *port_kind_shown(const void *row)
{
	const struct ipn_ctl_port *port = row;
	json_t *kind = word(names_kind(port->kind), port->kind), *own;

	if (!kind || !port_flag(row, IPN_PF_OWN))
		return kind;
	own = json_sprintf("%s,own", json_string_value(kind));
	json_decref(kind);
	return own;
}

static json_t *port_up(const void *row)
{
	return json_boolean(port_flag(row, IPN_PF_UP));
}

/* xsk: the program makes its socket itself */
static json_t *port_own(const void *row)
{
	return json_boolean(port_flag(row, IPN_PF_OWN));
}

static json_t *port_reader(const void *row)
{
	return json_boolean(port_flag(row, IPN_PF_READER));
}

static json_t *port_writer(const void *row)
{
	return json_boolean(port_flag(row, IPN_PF_WRITER));
}

static json_t *port_state(const void *row)
{
	const __u32 ms = ((const struct ipn_ctl_port *)row)->holds_ms;

	if (ms)
		return json_sprintf("holds:%u.%us", ms / 1000, ms / 100 % 10);
	return json_string(port_flag(row, IPN_PF_UP) ? "up" : "down");
}

/* LOSSLESS: does it keep others waiting? */
static json_t *port_holds(const void *row)
{
	__u32 ms = ((const struct ipn_ctl_port *)row)->holds_ms;

	return ms ? json_integer((json_int_t)ms) : json_null();
}

static json_t *port_sides(const void *row)
{
	return json_sprintf("%c%c", port_flag(row, IPN_PF_READER) ? 'r' : '-',
			    port_flag(row, IPN_PF_WRITER) ? 'w' : '-');
}

/* Of a cable, where it goes is what people want to know. */
static json_t *port_name(const void *row)
{
	const struct ipn_ctl_port *port = row;
	char text[IPN_PATH_MAX + 16];

	if (!port->peer[0])
		return display_string(port->name, sizeof(port->name));
	snprintf(text, sizeof(text), "%.*s:%u", IPN_PATH_MAX, port->peer, port->peer_port);
	return display_string(text, sizeof(text));
}

static json_t *port_peer(const void *row)
{
	const struct ipn_ctl_port *port = row;

	if (!port->peer[0])
		return json_null();
	return json_pack("{s:o, s:I}", "network", display_string(port->peer, sizeof(port->peer)),
			 "port", (json_int_t)port->peer_port);
}

#define PORT_NAME_COLUMNS                                                                     \
	DISPLAY_FIELD("NETWORK", "network", DISPLAY_TEXT, struct ipn_ctl_port, path),         \
		DISPLAY_FIELD("PORT", "port", DISPLAY_U32, struct ipn_ctl_port, port),        \
		DISPLAY_CALL("KIND", NULL, port_kind_shown),                                  \
		DISPLAY_CALL(NULL, "kind", port_kind), DISPLAY_CALL("NAME", NULL, port_name), \
		DISPLAY_FIELD(NULL, "name", DISPLAY_TEXT, struct ipn_ctl_port, name)

static const struct display_column port_columns[] = {
	PORT_NAME_COLUMNS,
	DISPLAY_CALL("STATE", NULL, port_state),
	DISPLAY_CALL("SIDES", NULL, port_sides),
	DISPLAY_CALL(NULL, "own", port_own),
	DISPLAY_CALL(NULL, "up", port_up),
	DISPLAY_CALL(NULL, "holds_ms", port_holds),
	DISPLAY_CALL(NULL, "reader", port_reader),
	DISPLAY_CALL(NULL, "writer", port_writer),
	DISPLAY_FIELD(NULL, "ifindex", DISPLAY_U32, struct ipn_ctl_port, ifindex),
	DISPLAY_FIELD("UID", "uid", DISPLAY_U32, struct ipn_ctl_port, uid),
	DISPLAY_FIELD("PID", "pid", DISPLAY_U32, struct ipn_ctl_port, pid),
	DISPLAY_FIELD("DESCR", "descr", DISPLAY_TEXT, struct ipn_ctl_port, descr),
	DISPLAY_CALL(NULL, "cable", port_peer),
};

/* Every reason there is, and those this program has no name for if they count. */
static json_t *port_drops(const void *row)
{
	const struct ipn_ctl_port *port = row;
	json_t *drops = json_object();

	for (__u32 i = 0; drops && i < IPN_DROP_MAX; i++) {
		const char *name = names_drop(i);
		char unknown[24];

		snprintf(unknown, sizeof(unknown), "reason_%u", i);
		if (name || port->stats.drop[i])
			json_object_set_new(drops, name ? name : unknown,
					    json_integer((json_int_t)port->stats.drop[i]));
	}
	return drops;
}

static const struct display_column stats_columns[] = {
	PORT_NAME_COLUMNS,
	DISPLAY_FIELD("IN-PKTS", "in_packets", DISPLAY_U64, struct ipn_ctl_port, stats.in_packets),
	DISPLAY_FIELD("IN-BYTES", "in_bytes", DISPLAY_U64, struct ipn_ctl_port, stats.in_bytes),
	DISPLAY_FIELD("OUT-PKTS", "out_packets", DISPLAY_U64, struct ipn_ctl_port,
		      stats.out_packets),
	DISPLAY_FIELD("OUT-BYTES", "out_bytes", DISPLAY_U64, struct ipn_ctl_port, stats.out_bytes),
	DISPLAY_CALL("HOLDS-MS", "holds_ms", port_holds),
	DISPLAY_CALL("DROPS", "drops", port_drops),
};

static const struct display_column fdb_columns[] = {
	DISPLAY_FIELD("MAC", "mac", DISPLAY_MAC, struct ipn_ctl_fdb, mac),
	DISPLAY_FIELD("VLAN", "vlan", DISPLAY_U16, struct ipn_ctl_fdb, vlan),
	DISPLAY_FIELD("PORT", "port", DISPLAY_U32, struct ipn_ctl_fdb, port),
	DISPLAY_FIELD("AGE", "age", DISPLAY_U32, struct ipn_ctl_fdb, age),
};

#define DISPLAY(columns, row)                             \
	{                                                 \
		columns, ARRAY_SIZE(columns), sizeof(row) \
	}

const struct display display_info = DISPLAY(info_columns, struct ipn_ctl_info);
const struct display display_networks = DISPLAY(net_columns, struct ipn_ctl_net);
const struct display display_ports = DISPLAY(port_columns, struct ipn_ctl_port);
const struct display display_stats = DISPLAY(stats_columns, struct ipn_ctl_port);
const struct display display_fdb = DISPLAY(fdb_columns, struct ipn_ctl_fdb);

static int rows_of(const struct cli_args *args, int manager, struct fabric_list list, void **rows,
		   size_t *n)
{
	_cleanup_close_ int fd = -1;
	int r = fabric_open_path(args, &fd);

	if (r < 0)
		return r;
	list.path_fd = fd;
	list.value = args->value[CLI_PATH].text;
	return fabric_list(args, manager, &list, rows, n);
}

/* Learns the names of all policies. */
static int rows_policies(const struct cli_args *args, int manager)
{
	const struct fabric_list list = {
		.type = IPN_CTL_POLICY_LIST,
		.path_fd = -1,
		.row_size = sizeof(struct ipn_ctl_policy),
	};
	_cleanup_free_ void *rows = NULL;
	const struct ipn_ctl_policy *policies;
	size_t n;
	int r = fabric_list(args, manager, &list, &rows, &n);

	if (r < 0)
		return r;
	policies = rows;
	for (size_t i = 0; i < n; i++)
		if (policies[i].number < IPN_POLICY_MAX)
			memcpy(loaded[policies[i].number], policies[i].name, sizeof(loaded[0]));
	return 0;
}

int rows_networks(const struct cli_args *args, int manager, void **rows, size_t *n)
{
	const struct fabric_list list = {
		.type = IPN_CTL_NET_LIST,
		.row_size = sizeof(struct ipn_ctl_net),
	};

	int r = rows_of(args, manager, list, rows, n);
	bool wanted = false;

	for (size_t i = 0; r == 0 && i < *n; i++)
		wanted |= !names_policy(((const struct ipn_ctl_net *)*rows)[i].policy);
	if (!wanted)
		return r;
	r = rows_policies(args, manager);
	if (r < 0)
		free(util_take_ptr(*rows));
	return r;
}

int rows_ports(const struct cli_args *args, int manager, bool stats, void **rows, size_t *n)
{
	const struct fabric_list list = {
		.type = IPN_CTL_PORT_LIST,
		.stats = stats,
		.row_size = sizeof(struct ipn_ctl_port),
	};

	return rows_of(args, manager, list, rows, n);
}

/* By VLAN and address: the map has no order. */
static int fdb_compare(const void *pa, const void *pb)
{
	const struct ipn_ctl_fdb *a = pa, *b = pb;

	return a->vlan != b->vlan ? (int)a->vlan - (int)b->vlan
				  : memcmp(a->mac, b->mac, sizeof(a->mac));
}

int rows_fdb(const struct cli_args *args, int manager, void **rows, size_t *n)
{
	const struct fabric_list list = {
		.type = IPN_CTL_FDB_LIST,
		.row_size = sizeof(struct ipn_ctl_fdb),
	};
	int r = rows_of(args, manager, list, rows, n);

	if (r == 0)
		qsort(*rows, *n, list.row_size, fdb_compare);
	return r;
}

int rows_print(const struct cli_args *args, int r)
{
	return r < 0 ? cli_fail(args, NULL, "cannot print: %s", strerror(-r)) : CLI_OK;
}
