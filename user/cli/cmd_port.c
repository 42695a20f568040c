// SPDX-License-Identifier: GPL-2.0-or-later
/* attach, detach, persist: interfaces and sockets on networks. */
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <limits.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/names.h"
#include "common/util.h"

#define NETNS_DIR "/run/netns" /* where ip-netns(8) keeps them */

static const struct {
	enum cli_key key;
	enum ipn_kind kind;
} kinds[] = {
	{ CLI_TAP, IPN_KIND_TAP },   { CLI_VETH, IPN_KIND_VETH }, { CLI_HOST, IPN_KIND_HOST },
	{ CLI_GRAB, IPN_KIND_GRAB }, { CLI_XSK, IPN_KIND_XSK },
};

/*
 * Options that mean something with some kinds only: with the others they would be passed over, and
 * whoever gave them believe that they were heard.
 */
static int options_fit(const struct cli_args *args)
{
	static const struct {
		enum cli_key key;
		const char *name;
		enum cli_key with[2]; /* one of these two must be given */
		const char *why;
	} only[] = {
		{ CLI_FRAMES, "--frames", { CLI_XSK, CLI_XSK }, "is for --xsk" },
		{ CLI_FRAME_SIZE, "--frame-size", { CLI_XSK, CLI_XSK }, "is for --xsk" },
		{ CLI_OWN, "--own", { CLI_XSK, CLI_XSK }, "is for --xsk" },
		{ CLI_PEER, "--peer", { CLI_UNIX, CLI_UNIX }, "is for --unix" },
		{ CLI_MODE, "--mode", { CLI_VDE, CLI_UNIX }, "is for --vde and --unix" },
	};
	static const struct {
		enum cli_key key;
		const char *name;
	} of_clients[] = { { CLI_PORT, "--port" }, { CLI_DESCR, "--descr" } };

	for (size_t i = 0; i < ARRAY_SIZE(only); i++)
		if (cli_given(args, only[i].key) && !cli_given(args, only[i].with[0]) &&
		    !cli_given(args, only[i].with[1]))
			return cli_fail(args, only[i].name, "%s (leave it out)", only[i].why);
	for (size_t i = 0; i < ARRAY_SIZE(of_clients); i++)
		if (cli_given(args, CLI_VDE) && cli_given(args, of_clients[i].key))
			return cli_fail(args, of_clients[i].name,
					"is not for --vde: its clients are ports, and ask for "
					"numbers and descriptions themselves (leave it out)");
	return CLI_OK;
}

/* Opens a network namespace, by name or path. Prints what is wrong. A descriptor, or -errno. */
static int netns_open(const struct cli_args *args, const char *netns)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s%s", strchr(netns, '/') ? "" : NETNS_DIR "/", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = -errno;
	if (fd == -ENOENT && !strchr(netns, '/'))
		cli_fail(args, netns, "no such network namespace (ip netns add %s)", netns);
	else
		cli_fail(args, path, "cannot open the network namespace: %s", strerror(-fd));
	return fd;
}

/* The paths of sockets are the manager's to make, and so absolute. */
static int path_absolute(const struct cli_args *args, const char *s, char *out, size_t size)
{
	char cwd[PATH_MAX];
	size_t len;

	if (*s != '/' && !getcwd(cwd, sizeof(cwd)))
		return cli_fail_errno(args, s, errno);
	len = (size_t)(*s == '/' ? snprintf(out, size, "%s", s)
				 : snprintf(out, size, "%s/%s", cwd, s));
	if (len >= size)
		return cli_fail(args, s, "too long for a socket (at most %zu bytes, from /)",
				size - 1);
	while (len > 1 && out[len - 1] == '/')
		out[--len] = '\0';
	return CLI_OK;
}

static bool is_listener(const struct cli_args *args)
{
	return cli_given(args, CLI_VDE) || cli_given(args, CLI_UNIX);
}

/* Sockets: the programs that connect to them become ports. */
static int listener(const struct cli_args *args, enum ipn_ctl_listener_op op)
{
	bool vde = cli_given(args, CLI_VDE);
	const struct cli_value *value = args->value;
	const char *path = value[vde ? CLI_VDE : CLI_UNIX].text;
	struct ipn_ctl_listener request = { .op = op, .port = IPN_PORTNO_ANY, .mode = 0700 };
	_cleanup_close_ int manager = fabric_open(args);
	_cleanup_close_ int fd = -1;
	struct client_call call = {
		.type = vde ? IPN_CTL_VDE : IPN_CTL_UNIX,
		.request = &request,
		.request_len = sizeof(request),
		.fds = &fd,
		.nfds = 1,
	};

	if (manager < 0 || fabric_open_path(args, &fd) < 0 ||
	    path_absolute(args, path, request.path, sizeof(request.path)))
		return CLI_FAILED;
	if (cli_given(args, CLI_MODE))
		request.mode = (__u32)value[CLI_MODE].number;
	if (!vde && cli_given(args, CLI_PORT))
		request.port = (__s32)value[CLI_PORT].number;
	if (!vde && cli_given(args, CLI_PEER) &&
	    path_absolute(args, value[CLI_PEER].text, request.peer, sizeof(request.peer)))
		return CLI_FAILED;
	if (cli_given(args, CLI_DESCR))
		util_copy(request.descr, sizeof(request.descr), value[CLI_DESCR].text);
	if (fabric_call(args, manager, &call, value[CLI_PATH].text) < 0)
		return CLI_FAILED;
	if (op == IPN_LISTENER_CLOSE)
		return CLI_OK;
	if (cli_given(args, CLI_JSON))
		return rows_print(args,
				  display_json(stdout, json_pack("{s:s}", vde ? "vde" : "unix",
								 request.path)));
	printf("%s %s\n", vde ? "vde" : "unix", request.path);
	return CLI_OK;
}

int cmd_attach(const struct cli_args *args)
{
	if (options_fit(args))
		return CLI_FAILED;
	if (is_listener(args))
		return listener(args, IPN_LISTENER_OPEN);

	const char *path = args->value[CLI_PATH].text;
	struct ipn_ctl_attach attach = { .port = IPN_PORTNO_ANY };
	struct ipn_ctl_port port = { 0 };
	struct client_call call = {
		.type = IPN_CTL_ATTACH,
		.request = &attach,
		.request_len = sizeof(attach),
		.reply = &port,
		.reply_size = sizeof(port),
	};
	_cleanup_close_ int manager = fabric_open(args);
	_cleanup_close_ int fd = -1;
	_cleanup_close_ int netns = -1;
	const char *name = "", *colon;
	int fds[2];

	if (manager < 0 || fabric_open_path(args, &fd) < 0)
		return CLI_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (cli_given(args, kinds[i].key)) {
			attach.kind = kinds[i].kind;
			name = args->value[kinds[i].key].text;
		}
	attach.frames = (__u32)args->value[CLI_FRAMES].number;
	attach.frame_size = (__u32)args->value[CLI_FRAME_SIZE].number;
	attach.own = cli_given(args, CLI_OWN);
	colon = strchr(name, ':');
	if (colon) {
		netns = netns_open(args, colon + 1);
		if (netns < 0)
			return CLI_FAILED;
	}
	snprintf(attach.name, sizeof(attach.name), "%.*s",
		 colon ? (int)(colon - name) : (int)strlen(name), name);
	if (cli_given(args, CLI_PORT))
		attach.port = (__s32)args->value[CLI_PORT].number;
	if (cli_given(args, CLI_DESCR))
		util_copy(attach.descr, sizeof(attach.descr), args->value[CLI_DESCR].text);

	fds[0] = fd;
	fds[1] = netns;
	call.fds = fds;
	call.nfds = netns >= 0 ? 2 : 1;
	if (fabric_call(args, manager, &call, path) < 0)
		return CLI_FAILED;
	if (call.reply_len < sizeof(port))
		return cli_fail_errno(args, path, EPROTO);
	if (cli_given(args, CLI_JSON))
		return rows_print(args,
				  display_json(stdout, display_object(&display_ports, &port)));
	printf("port %u %s %.*s\n", port.port, names_kind(attach.kind), IPN_NAME_MAX, port.name);
	return CLI_OK;
}

int cmd_detach(const struct cli_args *args)
{
	if (is_listener(args))
		return listener(args, IPN_LISTENER_CLOSE);

	struct ipn_ctl_detach detach = { .port = (__u32)args->value[CLI_PORT].number };
	_cleanup_close_ int manager = fabric_open(args);
	_cleanup_close_ int fd = -1;
	struct client_call call = {
		.type = IPN_CTL_DETACH,
		.request = &detach,
		.request_len = sizeof(detach),
		.fds = &fd,
		.nfds = 1,
	};

	if (manager < 0 || fabric_open_path(args, &fd) < 0)
		return CLI_FAILED;
	return fabric_call(args, manager, &call, args->value[CLI_PATH].text) < 0 ? CLI_FAILED
										 : CLI_OK;
}

int cmd_persist(const struct cli_args *args)
{
	const char *name = args->value[CLI_NAME].text;
	struct ipn_ctl_netdev netdev = {
		.op = IPN_NETDEV_PERSIST_OF,
		.flags = !cli_given(args, CLI_OFF),
	};
	_cleanup_close_ int manager = fabric_open(args);
	struct client_call call = {
		.type = IPN_CTL_NETDEV,
		.request = &netdev,
		.request_len = sizeof(netdev),
	};

	if (manager < 0)
		return CLI_FAILED;
	util_copy(netdev.name, sizeof(netdev.name), name);
	return fabric_call(args, manager, &call, name) < 0 ? CLI_FAILED : CLI_OK;
}
