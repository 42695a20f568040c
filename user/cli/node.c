// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/node.h"

#include "cli/fabric.h"
#include "common/util.h"

static int fail_join(const struct cli_args *args, int shut, int err)
{
	const char *path = args->value[CLI_PATH].text;

	if (err == ENETDOWN) {
		/* Says where it looked. */
		int fd = fabric_open(args);

		if (fd < 0)
			return -err;
		close(fd);
	}
	if (err == EACCES)
		cli_fail(args, path, "no permission to %s (the path needs %s for you)",
			 shut == SHUT_RD ? "send to it" : "receive from it",
			 shut == SHUT_RD ? "w" : "r");
	else if (err == EADDRNOTAVAIL)
		cli_fail(args, path,
			 "no free port, the network is full (see: " CLI_PROGRAM " show %s)", path);
	else
		cli_fail_errno(args, path, err);
	return -err;
}

int node_join(const struct cli_args *args, int shut)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	_cleanup_node_ int fd = -1;

	if (util_copy(addr.sun_path, sizeof(addr.sun_path), args->value[CLI_PATH].text) < 0)
		return fail_join(args, shut, ENAMETOOLONG);
	fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);
	if (fd < 0 || ipn_shutdown(fd, shut) < 0 ||
	    ipn_connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail_join(args, shut, errno);
	return util_take_fd(&fd);
}
