// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * addr, route, neigh: the private socket options of the layer 3 policy (include/ipn/l3.h), over a
 * bound session as any program would set and ask them.
 */
#include <ipn/l3.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/l3text.h"
#include "common/util.h"

/* A session that is bound to the network of PATH: a descriptor, or negative with a message said. */
static int bound(const struct cli_args *args)
{
	_cleanup_close_ int manager = fabric_open(args);
	struct ipn_ctl_bind bind = { .policy = IPN_POLICY_L3 };
	_cleanup_close_ int fd = -1;
	struct ipn_ctl_net net;
	struct client_call call = {
		.type = IPN_CTL_BIND,
		.request = &bind,
		.request_len = sizeof(bind),
		.fds = &fd,
		.nfds = 1,
		.reply = &net,
		.reply_size = sizeof(net),
	};

	if (manager < 0 || fabric_open_path(args, &fd) < 0 ||
	    fabric_call(args, manager, &call, args->value[CLI_PATH].text) < 0)
		return -1;
	return util_take_fd(&manager);
}

static int option_set(const struct cli_args *args, int manager, __u32 name, const void *data,
		      size_t len, const char *about)
{
	_cleanup_free_ struct ipn_ctl_option *option = calloc(1, sizeof(*option));
	struct client_call call = {
		.type = IPN_CTL_SETSOCKOPT,
		.request = option,
		.request_len = sizeof(*option),
	};

	if (!option)
		return cli_fail_errno(args, about, ENOMEM), -ENOMEM;
	option->level = IPN_L3_LEVEL;
	option->name = name;
	option->len = (__u32)len;
	memcpy(option->data, data, len);
	return fabric_call(args, manager, &call, about);
}

/* --- changing ---------------------------------------------------------------------------------*/

static __u32 port_given(const struct cli_args *args)
{
	return cli_given(args, CLI_PORT) ? (__u32)args->value[CLI_PORT].number : IPN_L3_PORT_ANY;
}

static int addr_change(const struct cli_args *args, int manager, bool add)
{
	const char *text = args->value[CLI_ADDRESS].text;
	struct ipn_l3_addr addr = { .port = port_given(args),
				    .mtu = (__u32)args->value[CLI_MTU].number };

	if (!strchr(text, '/') || l3text_prefix(text, &addr.ip))
		return cli_fail(args, text, "not an address with its prefix (10.0.0.1/24)");
	return option_set(args, manager, add ? IPN_L3_ADDR_ADD : IPN_L3_ADDR_DEL, &addr,
			  sizeof(addr), text);
}

static int route_add(const struct cli_args *args, int manager)
{
	const char *text = args->value[CLI_ADDRESS].text, *wrong;
	struct ipn_l3_route route;

	if (l3text_route(text, args->value[CLI_WORD].text, args->value[CLI_VALUE].text,
			 port_given(args), &route, &wrong))
		return cli_fail(args, wrong,
				"not part of a route (PREFIX via ADDR, PREFIX port N)");
	return option_set(args, manager, IPN_L3_ROUTE_ADD, &route, sizeof(route), text);
}

static int route_del(const struct cli_args *args, int manager)
{
	const char *text = args->value[CLI_ADDRESS].text, *wrong;
	struct ipn_l3_route route;

	if (l3text_route(text, "port", "0", IPN_L3_PORT_ANY, &route, &wrong))
		return cli_fail(args, text, "not a prefix (10.2.0.0/16, default, default6)");
	return option_set(args, manager, IPN_L3_ROUTE_DEL, &route, sizeof(route), text);
}

static int neigh_change(const struct cli_args *args, int manager, bool add)
{
	const char *text = args->value[CLI_ADDRESS].text, *mac = args->value[CLI_MAC].text;
	struct ipn_l3_neigh neigh = { .port = port_given(args) };

	if (l3text_addr(text, &neigh.ip))
		return cli_fail(args, text, "not an address");
	if (add && l3text_mac(mac, neigh.mac))
		return cli_fail(args, mac, "not an Ethernet address (02:00:00:00:00:01)");
	return option_set(args, manager, add ? IPN_L3_NEIGH_ADD : IPN_L3_NEIGH_DEL, &neigh,
			  sizeof(neigh), text);
}

int cmd_l3_change(const struct cli_args *args)
{
	_cleanup_close_ int manager = bound(args);
	int r = -1;

	if (manager < 0)
		return CLI_FAILED;
	switch (cli_command_id(args->command)) {
	case CLI_ADDR_ADD:
		r = addr_change(args, manager, true);
		break;
	case CLI_ADDR_DEL:
		r = addr_change(args, manager, false);
		break;
	case CLI_ROUTE_ADD:
		r = route_add(args, manager);
		break;
	case CLI_ROUTE_DEL:
		r = route_del(args, manager);
		break;
	case CLI_NEIGH_ADD:
		r = neigh_change(args, manager, true);
		break;
	case CLI_NEIGH_DEL:
		r = neigh_change(args, manager, false);
		break;
	default:
		break;
	}
	return r ? CLI_FAILED : CLI_OK;
}

#define AT_ONCE (IPN_CALL_DATA / sizeof(struct ipn_l3_route))

int cmd_route_load(const struct cli_args *args)
{
	const char *file = args->value[CLI_FILE].text;
	_cleanup_free_ struct ipn_l3_route *routes = calloc(AT_ONCE, sizeof(*routes));
	_cleanup_close_ int manager = -1;
	char line[256], to[64], word[8], value[64], more;
	unsigned int number = 0;
	const char *wrong;
	size_t n = 0;
	FILE *in;
	int r = 0;

	if (!routes)
		return cli_fail_errno(args, NULL, ENOMEM);
	manager = bound(args);
	if (manager < 0)
		return CLI_FAILED;
	in = strcmp(file, "-") ? fopen(file, "re") : stdin;
	if (!in)
		return cli_fail(args, file, "%s", strerror(errno));
	while (!r && fgets(line, sizeof(line), in)) {
		number++;
		line[strcspn(line, "#\n")] = '\0';
		if (!line[strspn(line, " \t")])
			continue;
		if (sscanf(line, "%63s %7s %63s %c", to, word, value, &more) != 3 ||
		    l3text_route(to, word, value, IPN_L3_PORT_ANY, &routes[n], &wrong))
			r = cli_fail(args, file,
				     "line %u: not PREFIX via ADDR or PREFIX port N: %s", number,
				     line);
		else if (++n == AT_ONCE) {
			r = option_set(args, manager, IPN_L3_ROUTE_ADD, routes, n * sizeof(*routes),
				       NULL);
			n = 0;
		}
	}
	if (!r && n)
		r = option_set(args, manager, IPN_L3_ROUTE_ADD, routes, n * sizeof(*routes), NULL);
	if (in != stdin)
		fclose(in);
	return r ? CLI_FAILED : CLI_OK;
}

/* --- showing ----------------------------------------------------------------------------------*/

static json_t *prefix_json(const struct ipn_l3_prefix *p, int len)
{
	char text[L3TEXT_SIZE];

	return json_string(p->family ? l3text_show(p, len, text) : "");
}

static json_t *addr_ip(const void *row)
{
	return prefix_json(&((const struct ipn_l3_addr *)row)->ip, 1);
}

static json_t *route_to(const void *row)
{
	return prefix_json(&((const struct ipn_l3_route *)row)->to, 1);
}

/* null: none of its own. */
static json_t *addr_mtu(const void *row)
{
	__u32 mtu = ((const struct ipn_l3_addr *)row)->mtu;

	return mtu ? json_integer(mtu) : json_null();
}

static json_t *route_via(const void *row)
{
	return prefix_json(&((const struct ipn_l3_route *)row)->via, 0);
}

static json_t *route_type(const void *row)
{
	static const char *const names[] = { "none",      "local", "broadcast",
					     "connected", "port",  "gateway" };
	__u32 type = ((const struct ipn_l3_route *)row)->type;

	return json_string(type < ARRAY_SIZE(names) ? names[type] : "?");
}

static json_t *neigh_ip(const void *row)
{
	return prefix_json(&((const struct ipn_l3_neigh *)row)->ip, 0);
}

static json_t *neigh_state(const void *row)
{
	static const char *const names[] = { "incomplete", "reachable", "failed", "static" };
	const struct ipn_l3_neigh *n = row;

	if (n->state == IPN_L3_REACHABLE && n->age >= 30)
		return json_string("stale");
	return json_string(n->state < ARRAY_SIZE(names) ? names[n->state] : "?");
}

static const struct display_column addr_columns[] = {
	DISPLAY_CALL("ADDRESS", "address", addr_ip),
	DISPLAY_FIELD("PORT", "port", DISPLAY_U32, struct ipn_l3_addr, port),
	DISPLAY_FIELD("MAC", "mac", DISPLAY_MAC, struct ipn_l3_addr, mac),
	DISPLAY_CALL("MTU", "mtu", addr_mtu),
};
static const struct display_column route_columns[] = {
	DISPLAY_CALL("PREFIX", "prefix", route_to),
	DISPLAY_CALL("TYPE", "type", route_type),
	DISPLAY_CALL("VIA", "via", route_via),
	DISPLAY_FIELD("PORT", "port", DISPLAY_U32, struct ipn_l3_route, port),
};
static const struct display_column neigh_columns[] = {
	DISPLAY_CALL("ADDRESS", "address", neigh_ip),
	DISPLAY_FIELD("PORT", "port", DISPLAY_U32, struct ipn_l3_neigh, port),
	DISPLAY_FIELD("MAC", "mac", DISPLAY_MAC, struct ipn_l3_neigh, mac),
	DISPLAY_CALL("STATE", "state", neigh_state),
	DISPLAY_FIELD("AGE", "age", DISPLAY_U32, struct ipn_l3_neigh, age),
};

static int prefix_compare(const struct ipn_l3_prefix *a, const struct ipn_l3_prefix *b)
{
	int r;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	r = memcmp(a->addr, b->addr, sizeof(a->addr));
	return r ? r : (int)a->len - (int)b->len;
}

static int addr_compare(const void *pa, const void *pb)
{
	const struct ipn_l3_addr *a = pa, *b = pb;

	return a->port != b->port ? (a->port < b->port ? -1 : 1) : prefix_compare(&a->ip, &b->ip);
}

static int route_compare(const void *pa, const void *pb)
{
	const struct ipn_l3_route *a = pa, *b = pb;

	return prefix_compare(&a->to, &b->to);
}

static int neigh_compare(const void *pa, const void *pb)
{
	const struct ipn_l3_neigh *a = pa, *b = pb;

	return a->port != b->port ? (a->port < b->port ? -1 : 1) : prefix_compare(&a->ip, &b->ip);
}

struct table {
	__u32 option;
	struct display display;
	int (*compare)(const void *, const void *);
	size_t most; /* records that there can be: a listing that goes on is one that began anew */
};

/* All pages. *rows is for the caller to free. */
static int table_get(const struct cli_args *args, int manager, const struct table *t, char **rows,
		     size_t *n)
{
	_cleanup_free_ struct ipn_ctl_option *option = calloc(1, sizeof(*option));
	_cleanup_free_ char *all = NULL;
	struct client_call call = {
		.type = IPN_CTL_GETSOCKOPT,
		.request = option,
		.request_len = sizeof(*option),
		.reply = option,
		.reply_size = sizeof(*option),
	};
	const size_t size = t->display.row_size;
	struct ipn_l3_page page = { 0 };
	size_t total = 0;
	char *more;
	int r;

	if (!option)
		return cli_fail_errno(args, NULL, ENOMEM), -ENOMEM;
	do {
		memset(option, 0, sizeof(*option));
		option->level = IPN_L3_LEVEL;
		option->name = t->option;
		option->len = sizeof(option->data);
		memcpy(option->data, &page, sizeof(page));
		r = fabric_call(args, manager, &call, args->value[CLI_PATH].text);
		if (r < 0)
			return r;
		memcpy(&page, option->data, sizeof(page));
		if (call.reply_len != sizeof(*option) ||
		    page.count > (sizeof(option->data) - sizeof(page)) / size)
			return cli_fail_errno(args, NULL, EPROTO), -EPROTO;
		more = realloc(all, (total + page.count) * size + 1);
		if (!more)
			return cli_fail_errno(args, NULL, ENOMEM), -ENOMEM;
		all = more;
		memcpy(all + total * size, option->data + sizeof(page), page.count * size);
		total += page.count;
	} while (page.more && total < t->most);
	*rows = util_take_ptr(all);
	*n = total;
	return 0;
}

#define DISPLAY(columns, row)                             \
	{                                                 \
		columns, ARRAY_SIZE(columns), sizeof(row) \
	}

int cmd_l3_show(const struct cli_args *args)
{
	static const struct table tables[] = {
		{ IPN_L3_ADDR_LIST, DISPLAY(addr_columns, struct ipn_l3_addr), addr_compare,
		  2UL * IPN_L3_ADDRS * IPN_NET_PORTS },
		{ IPN_L3_ROUTE_LIST, DISPLAY(route_columns, struct ipn_l3_route), route_compare,
		  4UL * IPN_L3_ROUTES_MAX },
		{ IPN_L3_NEIGH_LIST, DISPLAY(neigh_columns, struct ipn_l3_neigh), neigh_compare,
		  2UL * (IPN_L3_NEIGHS + IPN_MAX_PORTS) },
	};
	enum cli_command_id id = cli_command_id(args->command);
	const struct table *t = &tables[id == CLI_ADDR_SHOW ? 0 : id == CLI_ROUTE_SHOW ? 1 : 2];
	_cleanup_close_ int manager = bound(args);
	_cleanup_free_ char *rows = NULL;
	size_t n;

	if (manager < 0 || table_get(args, manager, t, &rows, &n) < 0)
		return CLI_FAILED;
	qsort(rows, n, t->display.row_size, t->compare);
	return rows_print(args,
			  display_rows(stdout, &t->display, rows, n, cli_given(args, CLI_JSON)));
}
