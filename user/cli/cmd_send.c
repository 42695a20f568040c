// SPDX-License-Identifier: GPL-2.0-or-later
/* send: each line of a file, without its newline, is a message. Any other bytes are content. */
#include <fcntl.h>

#include "cli/fabric.h"
#include "cli/lines.h"
#include "cli/node.h"
#include "common/util.h"

static int fail_send(const struct cli_args *args, int fd, __u64 number, size_t len, int err)
{
	const char *path = args->value[CLI_PATH].text;
	socklen_t size = sizeof(int);
	int mtu = 0;

	if ((err == EMSGSIZE || err == EOVERFLOW) &&
	    ipn_getsockopt(fd, 0, IPN_SO_MTU, &mtu, &size) == 0)
		return cli_fail(args, path,
				"line %llu is %s%zu bytes long and the MTU of the network "
				"is %d (send shorter lines, or make a network with a "
				"larger --mtu)",
				(unsigned long long)number, len >= LINES_MAX ? "more than " : "",
				len >= LINES_MAX ? len - 1 : len, mtu);
	return cli_fail(args, path, "line %llu: %s", (unsigned long long)number,
			fabric_strerror(err));
}

int cmd_send(const struct cli_args *args)
{
	const char *file = args->value[CLI_FILE].text;
	__attribute__((cleanup(lines_free))) struct lines lines = { .fd = STDIN_FILENO };
	_cleanup_node_ int fd = -1;
	const char *line;
	size_t len;
	int r;

	if (!file || strcmp(file, "-") == 0)
		file = "standard input";
	else
		lines.fd = open(file, O_RDONLY | O_CLOEXEC);
	if (lines.fd < 0)
		return cli_fail(args, file, "%s", strerror(errno));
	fd = node_join(args, SHUT_RD);
	if (fd < 0)
		return CLI_FAILED;

	for (__u64 number = 1; (r = lines_next(&lines, &line, &len)) > 0; number++) {
		ssize_t sent;

		do
			sent = ipn_send(fd, line, len, MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0)
			return fail_send(args, fd, number, len, errno);
	}
	return r < 0 ? cli_fail(args, file, "%s", strerror(-r)) : CLI_OK;
}
