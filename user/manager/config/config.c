/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file, on top of inih.
 *
 * inih alone would let mistakes pass: it cuts section names at 49 bytes (a path has 107), splits
 * long lines into two, says nothing of sections without keys, takes an indented line for more of
 * the value above, and its handler is not told the line. So the lines it reads come from
 * line_read() below, which counts them, refuses long ones and NUL bytes, removes indentation, and
 * takes section headers itself: inih sees a marker in their place, `key = value` like the rest, so
 * that the handler hears of every section in its turn. A line that inih swallows without calling
 * the handler was not `key = value`: the next line_read() notices.
 *
 * What needs the whole file (ports of unknown networks, things used twice) is checked at its end.
 */
#include "manager/config/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <ini.h>
#include <ipn/af_ipn.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "common/errtext.h"
#include "common/l3text.h"
#include "common/text.h"
#include "common/util.h"

#define CONFIG_MODE_DEFAULT 0777 /* IPN_SO_MODE of the specification */
#define MARKER "section = here"  /* what inih sees of any section header */
#define DEVICES "tap, veth, host, grab, cable, xsk, vde, unix"
#define HAS_ONE "has one already, give one of " DEVICES
#define LISTENER_MODE_DEFAULT 0700
#define VDE_DIR_MAX (IPN_PATH_MAX - 16) /* in it are the sockets of the clients */
#define NOT_A_LINE "neither [section] nor key = value (nor a comment: ; or #)"

enum section { SECTION_NONE, SECTION_FABRIC, SECTION_NETWORK, SECTION_PORT };

/* Keys of all sections. The position is the bit that tells a key given twice. */
enum key {
	KEY_HOOK,
	KEY_POLICY,
	KEY_MTU,
	KEY_NODES,
	KEY_POOL,
	KEY_MODE,
	KEY_NETWORK,
	KEY_TAP,
	KEY_VETH,
	KEY_HOST,
	KEY_PORT,
	KEY_DESCR,
	KEY_GRAB,
	KEY_ROUTES,
	KEY_ROUTE,
	KEY_ADDR,
	KEY_NEIGH,
	KEY_CABLE,
	KEY_LOSSLESS,
	KEY_XSK,
	KEY_FRAMES,
	KEY_FRAME_SIZE,
	KEY_OWN,
	KEY_VDE,
	KEY_UNIX,
	KEY_PEER,
	KEY_LISTENER_MODE,
	KEY_PORT2,
	KEY_PERSIST,
	KEY_NET_ADDR,
	KEY_NET_NEIGH,
};
#define KEY_BIT(key) (1ULL << (key))
/* may be given again */
#define KEYS_MANY                                                                              \
	(KEY_BIT(KEY_ROUTE) | KEY_BIT(KEY_ADDR) | KEY_BIT(KEY_NEIGH) | KEY_BIT(KEY_NET_ADDR) | \
	 KEY_BIT(KEY_NET_NEIGH))

/* Where a port and its keys stand, for messages about it at the end of the file. */
struct port_lines {
	struct port_lines *next;
	struct config_port *port;
	unsigned int key[KEY_NET_NEIGH + 1]; /* line of each key; 0: not given */
	unsigned int device;                 /* line of that of DEVICES */
};

struct parser {
	const char *file;
	FILE *stream;
	struct errtext *e;
	int err; /* the first error; its message is in *e */

	unsigned int line;
	bool marker;  /* the line inih has now is the marker */
	bool pending; /* the handler must be called before the next line */

	char header[128]; /* the text between the brackets */
	char name[128];   /* what follows the word in [word name] */
	enum section section;
	bool have_fabric;
	__u64 keys; /* bits of enum key seen in this section */
	struct config *config;
	struct config_net *net; /* last one, being filled in */
	struct config_port *port;
	struct port_lines *lines;
	struct config_l3 **l3_tail; /* a file may have many routes */
};

static void config_free_ptr(struct config **config)
{
	config_free(*config);
}

static void lines_free(struct port_lines *lines)
{
	while (lines) {
		struct port_lines *next = lines->next;

		free(lines);
		lines = next;
	}
}

/* Keeps the first error of the file and what to say about it. Returns -err. */
static int __attribute__((format(printf, 4, 5)))
fail_at(struct parser *p, int err, unsigned int line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (p->err)
		return p->err;
	p->err = -err;
	n = line ? snprintf(p->e->text, sizeof(p->e->text), "%s:%u: ", p->file, line)
		 : snprintf(p->e->text, sizeof(p->e->text), "%s: ", p->file);
	if (n >= 0 && (size_t)n < sizeof(p->e->text)) {
		va_start(ap, fmt);
		vsnprintf(p->e->text + n, sizeof(p->e->text) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	/* One line, whatever bytes the file holds. */
	for (char *c = p->e->text; sizeof(p->e->text) && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return p->err;
}

#define parse_fail(p, ...) fail_at(p, EINVAL, (p)->line, __VA_ARGS__)

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int set_number(struct parser *p, const char *key, const char *value, __u32 min, __u32 max,
		      __u32 *out)
{
	if (text_number(value, min, max, out))
		return parse_fail(p, "%s: \"%s\" is not a number from %u to %u", key, value, min,
				  max);
	return 0;
}

static int set_device(struct parser *p, const char *key, const char *name, enum ipn_kind kind)
{
	struct config_port *port = p->port;

	if (port->kind != IPN_KIND_NONE)
		return parse_fail(p, "%s: port %s " HAS_ONE, key, port->label);
	if (!text_ifname_ok(name))
		return parse_fail(
			p,
			"%s: \"%s\" is not an interface name (1 to %d bytes, no '/', ':', '%%' "
			"or space)",
			key, name, IPN_NAME_MAX - 1);
	port->kind = kind;
	p->lines->device = p->line;
	return util_copy(port->name, sizeof(port->name), name);
}

/* name[:netns], where netns is a name (as of `ip netns`) or an absolute path. */
static int set_veth(struct parser *p, const char *value)
{
	const char *colon = strchr(value, ':');
	const char *netns = colon ? colon + 1 : "";
	char name[64];
	int n = colon ? (int)(colon - value) : (int)strlen(value);

	if (snprintf(name, sizeof(name), "%.*s", n, value) >= (int)sizeof(name))
		return parse_fail(p, "veth: \"%s\": the name is longer than %d bytes", value,
				  IPN_NAME_MAX - 1);
	if (colon && (!*netns || !strcmp(netns, ".") || !strcmp(netns, "..") ||
		      (netns[0] != '/' && strchr(netns, '/'))))
		return parse_fail(
			p,
			"veth: \"%s\": what follows ':' is not the name or absolute path of a "
			"network namespace",
			value);
	if (util_copy(p->port->netns, sizeof(p->port->netns), netns))
		return parse_fail(p, "veth: \"%s\": the namespace is longer than %zu bytes", value,
				  sizeof(p->port->netns) - 1);
	return set_device(p, "veth", name, IPN_KIND_VETH);
}

static int set_path(struct parser *p, const char *what, const char *value, char path[IPN_PATH_MAX])
{
	size_t n = strlen(value);

	if (value[0] != '/' || n < 2 || value[n - 1] == '/')
		return parse_fail(p, "%s: \"%s\" is not an absolute path of a file", what, value);
	if (n >= IPN_PATH_MAX)
		return parse_fail(p, "%s: \"%s\" is longer than %d bytes", what, value,
				  IPN_PATH_MAX - 1);
	return util_copy(path, IPN_PATH_MAX, value);
}

/* A port without an interface of a name: a path says what it is. */
static int set_other(struct parser *p, const char *key, const char *value, enum ipn_kind kind,
		     enum ipn_listener_kind listener)
{
	struct config_port *port = p->port;

	if (port->kind != IPN_KIND_NONE)
		return parse_fail(p, "%s: port %s " HAS_ONE, key, port->label);
	port->kind = kind;
	port->listener = listener;
	p->lines->device = p->line;
	if (listener == IPN_LISTENER_VDE && strlen(value) > VDE_DIR_MAX)
		return parse_fail(
			p, "%s: \"%s\" is longer than %d bytes: there is no room for sockets in it",
			key, value, VDE_DIR_MAX);
	return set_path(p, key, value, port->other);
}

static int set_hook(struct parser *p, const char *key, const char *value)
{
	static const char *const names[] = {
		[CONFIG_HOOK_AUTO] = "auto",
		[CONFIG_HOOK_TCX] = "tcx",
		[CONFIG_HOOK_CLSACT] = "clsact",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(value, names[i])) {
			p->config->hook = (enum config_hook)i;
			return 0;
		}
	}
	return parse_fail(p, "%s: \"%s\" is not auto, tcx or clsact", key, value);
}

static const struct {
	enum section section;
	const char *name;
} keys[] = {
	[KEY_HOOK] = { SECTION_FABRIC, "hook" },
	[KEY_POLICY] = { SECTION_NETWORK, "policy" },
	[KEY_MTU] = { SECTION_NETWORK, "mtu" },
	[KEY_NODES] = { SECTION_NETWORK, "nodes" },
	[KEY_POOL] = { SECTION_NETWORK, "pool" },
	[KEY_MODE] = { SECTION_NETWORK, "mode" },
	[KEY_NETWORK] = { SECTION_PORT, "network" },
	[KEY_TAP] = { SECTION_PORT, "tap" },
	[KEY_VETH] = { SECTION_PORT, "veth" },
	[KEY_HOST] = { SECTION_PORT, "host" },
	[KEY_PORT] = { SECTION_PORT, "port" },
	[KEY_DESCR] = { SECTION_PORT, "descr" },
	[KEY_GRAB] = { SECTION_PORT, "grab" },
	[KEY_CABLE] = { SECTION_PORT, "cable" },
	[KEY_LOSSLESS] = { SECTION_NETWORK, "lossless" },
	[KEY_XSK] = { SECTION_PORT, "xsk" },
	[KEY_FRAMES] = { SECTION_PORT, "frames" },
	[KEY_FRAME_SIZE] = { SECTION_PORT, "frame-size" },
	[KEY_OWN] = { SECTION_PORT, "own" },
	[KEY_ROUTES] = { SECTION_NETWORK, "routes" },
	[KEY_ROUTE] = { SECTION_NETWORK, "route" },
	[KEY_VDE] = { SECTION_PORT, "vde" },
	[KEY_UNIX] = { SECTION_PORT, "unix" },
	[KEY_PEER] = { SECTION_PORT, "peer" },
	[KEY_LISTENER_MODE] = { SECTION_PORT, "mode" },
	[KEY_PORT2] = { SECTION_PORT, "port2" },
	[KEY_PERSIST] = { SECTION_PORT, "persist" },
	[KEY_NET_ADDR] = { SECTION_NETWORK, "addr" },
	[KEY_NET_NEIGH] = { SECTION_NETWORK, "neigh" },
	[KEY_ADDR] = { SECTION_PORT, "addr" },
	[KEY_NEIGH] = { SECTION_PORT, "neigh" },
};

static const char *const section_help[] = {
	[SECTION_NONE] = "a section must come first: [fabric], [network PATH] or [port LABEL]",
	[SECTION_FABRIC] = "[fabric] has: hook",
	[SECTION_NETWORK] = "[network] has: policy, mtu, nodes, pool, lossless, mode, routes, "
			    "route, addr, neigh",
	[SECTION_PORT] = "[port] has: network, " DEVICES ", frames, frame-size, own, peer, mode, "
			 "port, port2, descr, persist, addr, neigh",
};

/* "port N" behind an address or a neighbour of a [network]. */
static bool l3_port_ok(const char *word, const char *number, __u32 *out)
{
	return !strcmp(word, "port") && !text_number(number, 0, IPN_NET_PORTS - 1, out);
}

static int set_addr(struct parser *p, struct config_l3 *l3, const char *name, const char *value)
{
	char one[64], w[4][16], more;
	int words =
		sscanf(value, "%63s %15s %15s %15s %15s %c", one, w[0], w[1], w[2], w[3], &more);
	int at = l3->port ? 0 : 2; /* where "mtu N" may follow */

	l3->option = IPN_L3_ADDR_ADD;
	if ((words != at + 1 && words != at + 3) || !strchr(one, '/') ||
	    l3text_prefix(one, &l3->addr.ip) || (at && !l3_port_ok(w[0], w[1], &l3->addr.port)) ||
	    (words == at + 3 &&
	     (strcmp(w[at], "mtu") != 0 || text_number(w[at + 1], 68, IPN_MTU_MAX, &l3->addr.mtu))))
		return parse_fail(p, "%s: \"%s\" is not ADDR/LEN%s, and maybe mtu N", name, value,
				  at ? " port N" : "");
	return 0;
}

static int set_neigh(struct parser *p, struct config_l3 *l3, const char *name, const char *value)
{
	char one[64], two[64], word[16], number[16], more;
	int words = sscanf(value, "%63s %63s %15s %15s %c", one, two, word, number, &more);

	l3->option = IPN_L3_NEIGH_ADD;
	if (words != (l3->port ? 2 : 4) || l3text_addr(one, &l3->neigh.ip) ||
	    l3text_mac(two, l3->neigh.mac) ||
	    (!l3->port && !l3_port_ok(word, number, &l3->neigh.port)))
		return parse_fail(p, "%s: \"%s\" is not ADDR MAC%s", name, value,
				  l3->port ? "" : " port N");
	return 0;
}

static int set_route(struct parser *p, struct config_l3 *l3, const char *name, const char *value)
{
	char one[64], two[64], three[64], word[16], number[16], more;
	int words =
		sscanf(value, "%63s %63s %63s %15s %15s %c", one, two, three, word, number, &more);
	__u32 port = IPN_L3_PORT_ANY;
	const char *wrong;

	l3->option = IPN_L3_ROUTE_ADD;
	if ((words != 3 && words != 5) || (words == 5 && !l3_port_ok(word, number, &port)) ||
	    l3text_route(one, two, three, port, &l3->route, &wrong))
		return parse_fail(p,
				  "%s: \"%s\" is not PREFIX via ADDR [port N], nor PREFIX port N",
				  name, value);
	return 0;
}

/* An address, a route or a neighbour of a router. */
static int set_l3(struct parser *p, enum key key, const char *name, const char *value)
{
	_cleanup_free_ struct config_l3 *l3 = calloc(1, sizeof(*l3));
	int r;

	if (!l3)
		return fail_at(p, ENOMEM, p->line, "%s", strerror(ENOMEM));
	l3->line = p->line;
	if (p->section == SECTION_PORT)
		l3->port = p->port;
	else
		l3->net = p->net;
	r = key == KEY_ROUTE                         ? set_route(p, l3, name, value)
	    : key == KEY_ADDR || key == KEY_NET_ADDR ? set_addr(p, l3, name, value)
						     : set_neigh(p, l3, name, value);
	if (r)
		return r;
	*p->l3_tail = l3;
	p->l3_tail = &l3->next;
	util_take_ptr(l3);
	return 0;
}

static int set_yes_no(struct parser *p, const char *name, const char *value, bool *out)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return parse_fail(p, "%s: \"%s\" is not yes or no", name, value);
	*out = !strcmp(value, "yes");
	return 0;
}

static int set_mode(struct parser *p, const char *name, const char *value, __u32 *out)
{
	if (text_mode(value, out))
		return parse_fail(p, "%s: \"%s\" is not an octal number from 0 to 0777", name,
				  value);
	return 0;
}

static int set_frames(struct parser *p, const char *name, const char *value, __u32 *out)
{
	if (text_number(value, IPN_XSK_FRAMES_MIN, IPN_XSK_FRAMES_MAX, out) || *out & (*out - 1))
		return parse_fail(p, "%s: \"%s\" is not a power of two from %d to %d", name, value,
				  IPN_XSK_FRAMES_MIN, IPN_XSK_FRAMES_MAX);
	return 0;
}

static int set_frame_size(struct parser *p, const char *name, const char *value, __u32 *out)
{
	if (text_number(value, IPN_XSK_FRAME_SMALL, IPN_XSK_FRAME_LARGE, out) ||
	    (*out != IPN_XSK_FRAME_SMALL && *out != IPN_XSK_FRAME_LARGE))
		return parse_fail(p, "%s: \"%s\" is not %d or %d", name, value, IPN_XSK_FRAME_SMALL,
				  IPN_XSK_FRAME_LARGE);
	return 0;
}

static int set_port(struct parser *p, const char *name, const char *value, __s32 *out)
{
	__u32 number;
	int r = set_number(p, name, value, 0, IPN_NET_PORTS - 1, &number);

	if (!r)
		*out = (__s32)number;
	return r;
}

static int set_key(struct parser *p, const char *name, const char *value)
{
	struct config_net *net = p->net;
	struct config_port *port = p->port;
	bool yes = false;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].section == p->section && !strcmp(keys[i].name, name))
			break;
	if (i == ARRAY_SIZE(keys))
		return parse_fail(p, "%s: unknown key (%s)", name, section_help[p->section]);
	if (p->keys & KEY_BIT(i) & ~KEYS_MANY)
		return parse_fail(p, "%s: \"%s\": given twice in this section", name, value);
	p->keys |= KEY_BIT(i);
	if (p->section == SECTION_PORT)
		p->lines->key[i] = p->line;

	switch ((enum key)i) {
	case KEY_HOOK:
		return set_hook(p, name, value);
	case KEY_POLICY:
		if (!text_policy(value, &net->policy))
			return 0;
		if (!text_policy_name_ok(value))
			return parse_fail(
				p,
				"%s: \"%s\" is not switch, broadcast, hub, l3, the name of a "
				"loaded policy or a number from 1 to %d",
				name, value, IPN_POLICY_MAX - 1);
		net->policy = IPN_POLICY_ANY;
		net->policy_line = p->line;
		return util_copy(net->policy_name, sizeof(net->policy_name), value);
	case KEY_LOSSLESS:
		r = set_yes_no(p, name, value, &yes);
		net->flags = yes ? IPN_FLAG_LOSSLESS : 0;
		return r;
	case KEY_MTU:
		return set_number(p, name, value, IPN_MTU_MIN, IPN_MTU_MAX, &net->mtu);
	case KEY_NODES:
		return set_number(p, name, value, 1, IPN_NET_PORTS, &net->numnodes);
	case KEY_POOL:
		return set_number(p, name, value, 1, IPN_POOL_MAX, &net->pool);
	case KEY_MODE:
		return set_mode(p, name, value, &net->mode);
	case KEY_ROUTES:
		return set_number(p, name, value, 16, IPN_L3_ROUTES_MAX, &net->routes);
	case KEY_ROUTE:
	case KEY_ADDR:
	case KEY_NEIGH:
	case KEY_NET_ADDR:
	case KEY_NET_NEIGH:
		return set_l3(p, (enum key)i, name, value);
	case KEY_NETWORK:
		return set_path(p, name, value, port->path);
	case KEY_TAP:
		return set_device(p, name, value, IPN_KIND_TAP);
	case KEY_VETH:
		return set_veth(p, value);
	case KEY_HOST:
		return set_device(p, name, value, IPN_KIND_HOST);
	case KEY_GRAB:
		return set_device(p, name, value, IPN_KIND_GRAB);
	case KEY_XSK:
		return set_device(p, name, value, IPN_KIND_XSK);
	case KEY_FRAMES:
		return set_frames(p, name, value, &port->frames);
	case KEY_FRAME_SIZE:
		return set_frame_size(p, name, value, &port->frame_size);
	case KEY_OWN:
		return set_yes_no(p, name, value, &port->own);
	case KEY_CABLE:
		return set_other(p, name, value, IPN_KIND_CABLE, 0);
	case KEY_VDE:
		return set_other(p, name, value, IPN_KIND_SOCK, IPN_LISTENER_VDE);
	case KEY_UNIX:
		return set_other(p, name, value, IPN_KIND_SOCK, IPN_LISTENER_UNIX);
	case KEY_PEER:
		return set_path(p, name, value, port->peer);
	case KEY_LISTENER_MODE:
		return set_mode(p, name, value, &port->mode);
	case KEY_PORT:
		return set_port(p, name, value, &port->port);
	case KEY_PORT2:
		return set_port(p, name, value, &port->port2);
	case KEY_PERSIST:
		if (strcmp(value, "yes") != 0)
			return parse_fail(p,
					  "%s: \"%s\" is not yes: what a file attaches stays until "
					  "detach",
					  name, value);
		return 0;
	case KEY_DESCR:
		if (util_copy(port->descr, sizeof(port->descr), value))
			return parse_fail(p, "%s: \"%s\" is longer than %zu bytes", name, value,
					  sizeof(port->descr) - 1);
		return 0;
	}
	return parse_fail(p, "%s: unknown key", name);
}

static int add_net(struct parser *p)
{
	struct config_net *net;
	struct config_net **tail = &p->config->nets;
	char path[IPN_PATH_MAX];
	int r = set_path(p, "network", p->name, path);

	if (r)
		return r;
	for (; *tail; tail = &(*tail)->next)
		if (!strcmp((*tail)->path, path))
			return parse_fail(p, "network: \"%s\": a second section for it", path);
	net = calloc(1, sizeof(*net));
	if (!net)
		return fail_at(p, ENOMEM, p->line, "%s", strerror(ENOMEM));
	util_copy(net->path, sizeof(net->path), path);
	net->line = p->line;
	net->policy = IPN_POLICY_BROADCAST;
	net->mtu = IPN_MTU_DEFAULT;
	net->numnodes = IPN_NODES_DEFAULT;
	net->pool = IPN_POOL_DEFAULT;
	net->mode = CONFIG_MODE_DEFAULT;
	*tail = net;
	p->net = net;
	return 0;
}

static int add_port(struct parser *p)
{
	_cleanup_free_ struct config_port *port = calloc(1, sizeof(*port));
	_cleanup_free_ struct port_lines *lines = calloc(1, sizeof(*lines));
	struct config_port **tail = &p->config->ports;

	if (!port || !lines)
		return fail_at(p, ENOMEM, p->line, "%s", strerror(ENOMEM));
	if (util_copy(port->label, sizeof(port->label), p->name))
		return parse_fail(p, "port: the label \"%s\" is longer than %zu bytes", p->name,
				  sizeof(port->label) - 1);
	for (; *tail; tail = &(*tail)->next)
		if (!strcmp((*tail)->label, port->label))
			return parse_fail(p, "port: \"%s\": a second section for it", port->label);
	port->port = port->port2 = IPN_PORTNO_ANY;
	port->mode = LISTENER_MODE_DEFAULT;
	port->line = p->line;
	lines->port = port;
	/* Kept in both orders: the newest for set_key(), which looks at p->lines. */
	lines->next = p->lines;
	p->lines = util_take_ptr(lines);
	p->port = port;
	*tail = util_take_ptr(port);
	return 0;
}

/* A new [section]: p->header is what stands between the brackets. */
static int add_section(struct parser *p)
{
	char *word = p->header;
	char *rest = word + strcspn(word, " \t");

	p->keys = 0;
	p->section = SECTION_NONE;
	if (*rest)
		*rest++ = '\0';
	rest += strspn(rest, " \t");
	util_copy(p->name, sizeof(p->name), rest);

	if (!strcmp(word, "fabric")) {
		if (*rest)
			return parse_fail(p, "[fabric] takes no name: \"%s\"", rest);
		if (p->have_fabric)
			return parse_fail(p, "[fabric]: a second section for it");
		p->have_fabric = true;
		p->section = SECTION_FABRIC;
		return 0;
	}
	if (!strcmp(word, "network")) {
		if (!*rest)
			return parse_fail(p,
					  "[network] without a path: write [network /run/ipn/lan]");
		p->section = SECTION_NETWORK;
		return add_net(p);
	}
	if (!strcmp(word, "port")) {
		if (!*rest || strpbrk(rest, " \t"))
			return parse_fail(p, "[port %s]: a port has one word as label", rest);
		p->section = SECTION_PORT;
		return add_port(p);
	}
	return parse_fail(p, "[%s]: unknown section (fabric, network PATH or port LABEL)", word);
}

static int handler(void *user, const char *section, const char *name, const char *value)
{
	struct parser *p = user;

	p->pending = false;
	if (p->err)
		return 0;
	if (p->marker)
		return !add_section(p);
	return !set_key(p, name, value);
}

/* Takes the section name from "[name]" in s, which has no indentation and no line end. */
static int header_read(struct parser *p, const char *s)
{
	const char *end = strchr(s, ']');
	const char *after;
	const char *start = s + 1;

	/* As for values, " ;" starts a comment: a ']' in there ends nothing. */
	for (const char *c = start; end && c < end; c++)
		if (*c == ';' && is_space(c[-1]))
			end = NULL;
	if (!end)
		return parse_fail(p, "\"%s\": a section header without ']'", s);
	after = end + 1 + strspn(end + 1, " \t");
	if (*after && *after != ';' && *after != '#')
		return parse_fail(p, "\"%s\": text after the ']' of a section header", s);
	while (start < end && is_space(*start))
		start++;
	while (end > start && is_space(end[-1]))
		end--;
	if (end == start)
		return parse_fail(p, "\"%s\": a section header without a name", s);
	if (end - start >= (long)sizeof(p->header))
		return parse_fail(p, "\"%s\": the section name is longer than %zu bytes", s,
				  sizeof(p->header) - 1);
	snprintf(p->header, sizeof(p->header), "%.*s", (int)(end - start), start);
	return 0;
}

/*
 * Reads a line of the file into str[num], without line end. Returns its length, or less
 * than 0 at the end of the file and on errors (then p->err is set).
 */
static int raw_line_read(struct parser *p, char *str, int num)
{
	int n = 0;
	int c;

	p->line++;
	while ((c = getc(p->stream)) != EOF && c != '\n') {
		if (c == '\0')
			return parse_fail(p, "a NUL byte: not a text file");
		if (n >= num - 2)
			return parse_fail(p, "a line longer than %d bytes", num - 2);
		str[n++] = (char)c;
	}
	if (c == EOF && ferror(p->stream))
		return fail_at(p, errno ? errno : EIO, 0, "cannot read: %s",
			       strerror(errno ? errno : EIO));
	str[n] = '\0';
	return c == EOF && !n ? -1 : n;
}

/* The line source of inih. NULL ends the parsing. */
static char *line_read(char *str, int num, void *user)
{
	struct parser *p = user;
	char *s = str;
	int n;

	if (p->pending && !p->err)
		parse_fail(p, NOT_A_LINE);
	if (p->err)
		return NULL;
	n = raw_line_read(p, str, num);
	if (n < 0)
		return NULL;
	if (p->line == 1 && !strncmp(s, "\xEF\xBB\xBF", 3))
		s += 3;
	while (is_space(*s))
		s++;
	n -= (int)(s - str);
	memmove(str, s, (size_t)n + 1);
	while (n > 0 && is_space(str[n - 1]))
		str[--n] = '\0';

	p->marker = str[0] == '[';
	if (p->marker) {
		if (header_read(p, str))
			return NULL;
		n = snprintf(str, (size_t)num, "%s", MARKER);
	}
	p->pending = str[0] && str[0] != ';' && str[0] != '#';
	str[n] = '\n';
	str[n + 1] = '\0';
	return str;
}

static const struct config_net *net_find(const struct config *config, const char *path)
{
	for (const struct config_net *n = config->nets; n; n = n->next)
		if (!strcmp(n->path, path))
			return n;
	return NULL;
}

/* Keys that belong to some kinds of ports only. */
static int port_check_keys(struct parser *p, const struct port_lines *l)
{
	static const struct {
		enum key key;
		enum ipn_kind kind;
		enum ipn_listener_kind listener;
		const char *with;
	} only[] = {
		{ KEY_FRAMES, IPN_KIND_XSK, 0, "xsk = NAME" },
		{ KEY_FRAME_SIZE, IPN_KIND_XSK, 0, "xsk = NAME" },
		{ KEY_OWN, IPN_KIND_XSK, 0, "xsk = NAME" },
		{ KEY_PORT2, IPN_KIND_CABLE, 0, "cable = PATH" },
		{ KEY_PEER, IPN_KIND_SOCK, IPN_LISTENER_UNIX, "unix = FILE" },
		{ KEY_LISTENER_MODE, IPN_KIND_SOCK, 0, "vde = DIR and unix = FILE" },
	};
	static const enum key not_vde[] = { KEY_PORT, KEY_DESCR, KEY_ADDR, KEY_NEIGH };
	const struct config_port *port = l->port;

	for (size_t i = 0; i < ARRAY_SIZE(only); i++)
		if (l->key[only[i].key] &&
		    (port->kind != only[i].kind ||
		     (only[i].listener && port->listener != only[i].listener)))
			return fail_at(p, EINVAL, l->key[only[i].key],
				       "%s: port %s has none of that: it is for %s",
				       keys[only[i].key].name, port->label, only[i].with);
	for (size_t i = 0; i < ARRAY_SIZE(not_vde); i++)
		if (l->key[not_vde[i]] && port->listener == IPN_LISTENER_VDE)
			return fail_at(p, EINVAL, l->key[not_vde[i]],
				       "%s: port %s is a directory, whose clients are ports with "
				       "numbers and descriptions of their own%s",
				       keys[not_vde[i]].name, port->label,
				       not_vde[i] == KEY_ADDR || not_vde[i] == KEY_NEIGH
					       ? " (write it in [network], with port N)"
					       : "");
	for (enum key k = KEY_ADDR; port->listener == IPN_LISTENER_UNIX && port->port < 0;
	     k = KEY_NEIGH) {
		if (l->key[k])
			return fail_at(p, EINVAL, l->key[k],
				       "%s: port %s has no number yet: write port = N",
				       keys[k].name, port->label);
		if (k == KEY_NEIGH)
			break;
	}
	return 0;
}

static int number_check(struct parser *p, unsigned int line, const char *key, __s32 number,
			const struct config_net *net)
{
	if (number < 0 || (__u32)number < net->numnodes)
		return 0;
	return fail_at(p, EINVAL, line, "%s: \"%d\" is not a number from 0 to %u: %s has %u nodes",
		       key, number, net->numnodes - 1, net->path, net->numnodes);
}

static int cable_check(struct parser *p, const struct port_lines *l)
{
	const struct config_port *port = l->port;
	const struct config_net *net = net_find(p->config, port->other);

	if (!net)
		return fail_at(p, EINVAL, l->device,
			       "cable: \"%s\" has no [network] section in this file", port->other);
	if (!strcmp(port->path, port->other))
		return fail_at(p, EINVAL, l->device, "cable: \"%s\" is the port's own network",
			       port->other);
	for (const struct config_port *o = p->config->ports; o != port; o = o->next)
		if (o->kind == IPN_KIND_CABLE &&
		    ((!strcmp(o->path, port->path) && !strcmp(o->other, port->other)) ||
		     (!strcmp(o->path, port->other) && !strcmp(o->other, port->path))))
			return fail_at(p, EINVAL, l->device, "cable: port %s joins %s and %s",
				       o->label, o->path, o->other);
	return number_check(p, l->key[KEY_PORT2], "port2", port->port2, net);
}

/* Does the port, or the other end of its cable, have this number in that network? */
static bool port_takes(const struct config_port *port, const char *path, __s32 number)
{
	return number >= 0 && ((port->port == number && !strcmp(port->path, path)) ||
			       (port->port2 == number && !strcmp(port->other, path)));
}

static int port_check(struct parser *p, const struct port_lines *l)
{
	const struct config_port *port = l->port;
	const struct config_net *net;
	int r;

	if (!l->key[KEY_NETWORK])
		return fail_at(p, EINVAL, port->line, "port %s: no network: write network = PATH",
			       port->label);
	if (port->kind == IPN_KIND_NONE)
		return fail_at(p, EINVAL, port->line, "port %s: no interface: give one of " DEVICES,
			       port->label);
	r = port_check_keys(p, l);
	if (r)
		return r;
	net = net_find(p->config, port->path);
	if (!net)
		return fail_at(p, EINVAL, l->key[KEY_NETWORK],
			       "network: \"%s\" has no [network] section in this file", port->path);
	r = number_check(p, l->key[KEY_PORT], "port", port->port, net);
	if (!r && port->kind == IPN_KIND_CABLE)
		r = cable_check(p, l);
	if (r)
		return r;
	if (port->listener && net_find(p->config, port->other))
		return fail_at(p, EINVAL, l->device, "%s: \"%s\" is a network of this file",
			       port->listener == IPN_LISTENER_VDE ? "vde" : "unix", port->other);
	for (const struct config_port *o = p->config->ports; o != port; o = o->next) {
		if (*port->name && !strcmp(o->name, port->name) && !strcmp(o->netns, port->netns))
			return fail_at(p, EINVAL, l->device, "%s: port %s has that interface",
				       port->name, o->label);
		if (port->listener && o->listener && !strcmp(o->other, port->other))
			return fail_at(p, EINVAL, l->device, "%s: port %s has that path",
				       port->other, o->label);
		if (port_takes(o, port->path, port->port))
			return fail_at(p, EINVAL, l->key[KEY_PORT], "port: \"%d\" of %s is port %s",
				       port->port, port->path, o->label);
		if (port_takes(o, port->other, port->port2))
			return fail_at(p, EINVAL, l->key[KEY_PORT2],
				       "port2: \"%d\" of %s is port %s", port->port2, port->other,
				       o->label);
	}
	return 0;
}

static int l3_check(struct parser *p, struct config_l3 *l3)
{
	const char *what = l3->option == IPN_L3_ADDR_ADD    ? "addr"
			   : l3->option == IPN_L3_ROUTE_ADD ? "route"
							    : "neigh";
	__u32 number = l3->option == IPN_L3_ADDR_ADD    ? l3->addr.port
		       : l3->option == IPN_L3_ROUTE_ADD ? l3->route.port
							: l3->neigh.port;

	if (l3->port)
		l3->net = net_find(p->config, l3->port->path);
	else if (number != IPN_L3_PORT_ANY && number_check(p, l3->line, what, number, l3->net))
		return p->err;
	if (l3->net->policy != IPN_POLICY_L3)
		return fail_at(p, EINVAL, l3->line, "%s: %s is no router (write policy = l3 there)",
			       what, l3->net->path);
	return 0;
}

/* A pipe, a socket or a device could let `up` wait for ever. */
static int file_open(struct parser *p)
{
	_cleanup_close_ int fd = open(p->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return fail_at(p, errno, 0, "cannot open: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_at(p, EINVAL, 0, "is no regular file");
	p->stream = fdopen(fd, "r");
	if (!p->stream)
		return fail_at(p, errno, 0, "cannot read: %s", strerror(errno));
	util_take_fd(&fd);
	return 0;
}

int config_read(const char *file, struct config **out, struct errtext *e)
{
	__attribute__((cleanup(config_free_ptr))) struct config *config = NULL;
	struct port_lines *ordered = NULL;
	struct parser p = { .file = file, .e = e };
	int r;

	config = calloc(1, sizeof(*config));
	if (!config)
		return fail_at(&p, ENOMEM, 0, "%s", strerror(ENOMEM));
	p.config = config;
	p.l3_tail = &config->l3;
	r = file_open(&p);
	if (r)
		return r;

	errno = 0;
	r = ini_parse_stream(line_read, &p, handler, &p);
	if (!p.err && p.pending)
		parse_fail(&p, NOT_A_LINE);
	if (!p.err && r == -2)
		fail_at(&p, ENOMEM, 0, "%s", strerror(ENOMEM));
	if (!p.err && r)
		fail_at(&p, EINVAL, 0, "cannot be read as an INI file");
	fclose(p.stream);

	/* The newest port comes first: the messages should name the first mistake of the file. */
	while (p.lines) {
		struct port_lines *next = p.lines->next;

		p.lines->next = ordered;
		ordered = p.lines;
		p.lines = next;
	}
	for (struct port_lines *l = ordered; l && !p.err; l = l->next)
		port_check(&p, l);
	for (struct config_l3 *l3 = config->l3; l3 && !p.err; l3 = l3->next)
		l3_check(&p, l3);
	lines_free(ordered);
	if (p.err)
		return p.err;
	*out = util_take_ptr(config);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	while (config->nets) {
		struct config_net *next = config->nets->next;

		free(config->nets);
		config->nets = next;
	}
	while (config->ports) {
		struct config_port *next = config->ports->next;

		free(config->ports);
		config->ports = next;
	}
	while (config->l3) {
		struct config_l3 *next = config->l3->next;

		free(config->l3);
		config->l3 = next;
	}
	free(config);
}
