// SPDX-License-Identifier: GPL-2.0-or-later
/* cable, uncable: two networks joined. */
#include <ipn/af_ipn.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/names.h"
#include "common/util.h"

int cmd_cable(const struct cli_args *args)
{
	struct ipn_ctl_cable cable = { .port = { IPN_PORTNO_ANY, IPN_PORTNO_ANY } };
	_cleanup_close_ int manager = fabric_open(args);
	_cleanup_close_ int fd1 = -1;
	_cleanup_close_ int fd2 = -1;
	struct ipn_ctl_port ports[2];
	int fds[2];
	struct client_call call = {
		.type = IPN_CTL_CABLE,
		.request = &cable,
		.request_len = sizeof(cable),
		.fds = fds,
		.nfds = 2,
		.reply = ports,
		.reply_size = sizeof(ports),
	};

	if (manager < 0 || fabric_open_path(args, &fd1) < 0 || fabric_open_path2(args, &fd2) < 0)
		return CLI_FAILED;
	if (cli_given(args, CLI_PORT))
		cable.port[0] = (__s32)args->value[CLI_PORT].number;
	if (cli_given(args, CLI_PORT2))
		cable.port[1] = (__s32)args->value[CLI_PORT2].number;
	if (cli_given(args, CLI_DESCR))
		util_copy(cable.descr, sizeof(cable.descr), args->value[CLI_DESCR].text);
	fds[0] = fd1;
	fds[1] = fd2;
	if (fabric_call(args, manager, &call, args->value[CLI_PATH].text) < 0)
		return CLI_FAILED;
	if (call.reply_len < sizeof(ports))
		return cli_fail_errno(args, args->value[CLI_PATH].text, EPROTO);
	if (cli_given(args, CLI_JSON))
		return rows_print(args,
				  display_json(stdout, display_array(&display_ports, ports, 2)));
	for (int i = 0; i < 2; i++)
		printf("port %u of %.*s\n", ports[i].port, IPN_PATH_MAX, ports[i].path);
	return CLI_OK;
}

/* Number and path of the network of this descriptor. Prints what is wrong. 0, or -errno. */
static int network_of(const struct cli_args *args, int manager, int fd, const char *value,
		      struct ipn_ctl_net *net)
{
	const struct fabric_list list = {
		.type = IPN_CTL_NET_LIST,
		.path_fd = fd,
		.row_size = sizeof(*net),
		.value = value,
	};
	_cleanup_free_ void *rows = NULL;
	size_t n;
	int r = fabric_list(args, manager, &list, &rows, &n);

	if (r == 0 && n != 1) {
		cli_fail_errno(args, value, EPROTO);
		r = -EPROTO;
	}
	if (r == 0)
		memcpy(net, rows, sizeof(*net));
	return r;
}

/* The port of the first network at which a cable to the other one begins. -errno: none, or many. */
static int cable_find(const struct cli_args *args, int manager, const struct ipn_ctl_net *to,
		      __u32 *port)
{
	_cleanup_free_ void *rows = NULL;
	const struct ipn_ctl_port *ports;
	size_t n, found = 0;
	int r = rows_ports(args, manager, false, &rows, &n);

	if (r < 0)
		return r;
	ports = rows;
	for (size_t i = 0; i < n; i++) {
		if (ports[i].kind != IPN_KIND_CABLE ||
		    strncmp(ports[i].peer, to->path, sizeof(to->path)) != 0)
			continue;
		*port = ports[i].port;
		found++;
	}
	if (found == 1)
		return 0;
	cli_fail(args, args->value[CLI_PATH].text,
		 found ? "has several cables to %s (say which: " CLI_PROGRAM
			 " detach PATH --port N)"
		       : "has no cable to %s",
		 args->value[CLI_PATH2].text);
	return -ENOENT;
}

int cmd_uncable(const struct cli_args *args)
{
	_cleanup_close_ int manager = fabric_open(args);
	_cleanup_close_ int fd = -1;
	_cleanup_close_ int other = -1;
	struct ipn_ctl_detach detach = { 0 };
	struct client_call call = {
		.type = IPN_CTL_DETACH,
		.request = &detach,
		.request_len = sizeof(detach),
		.fds = &fd,
		.nfds = 1,
	};
	struct ipn_ctl_net to;

	if (manager < 0 || fabric_open_path(args, &fd) < 0 || fabric_open_path2(args, &other) < 0 ||
	    network_of(args, manager, other, args->value[CLI_PATH2].text, &to) < 0 ||
	    cable_find(args, manager, &to, &detach.port) < 0)
		return CLI_FAILED;
	return fabric_call(args, manager, &call, args->value[CLI_PATH].text) < 0 ? CLI_FAILED
										 : CLI_OK;
}
