// SPDX-License-Identifier: GPL-2.0-or-later
/* up, down: the life of the manager. */
#include <poll.h>

#include "cli/fabric.h"
#include "common/util.h"
#include "manager/manager.h"

#define DOWN_WAIT_MS 60000

static struct manager_opts manager_opts(const struct cli_args *args)
{
	return (struct manager_opts){
		.run_dir = cli_run_dir(args),
		.bpffs = cli_bpffs(args),
		.netns = args->value[CLI_NETNS].text,
		.config = args->value[CLI_CONFIG].text,
		.foreground = cli_given(args, CLI_FOREGROUND),
	};
}

int cmd_up(const struct cli_args *args)
{
	const struct manager_opts opts = manager_opts(args);

	return manager_run(&opts);
}

/* Until the manager has closed its end, which it does when all is removed. */
static int wait_for_end(int fd)
{
	struct pollfd p = { .fd = fd };
	int r;

	do
		r = poll(&p, 1, DOWN_WAIT_MS);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

int cmd_down(const struct cli_args *args)
{
	const struct manager_opts opts = manager_opts(args);
	struct client_call call = { .type = IPN_CTL_DOWN };
	_cleanup_close_ int fd = client_open(cli_run_dir(args));
	int r;

	if (fd == -ENETDOWN)
		return manager_down_offline(&opts);
	if (fd < 0)
		return cli_fail(args, NULL, "%s/" IPN_CTL_SOCKET ": %s", opts.run_dir,
				strerror(-fd));
	if (fabric_call(args, fd, &call, NULL) < 0)
		return CLI_FAILED;
	r = wait_for_end(fd);
	if (r < 0)
		return cli_fail(args, opts.run_dir, "the manager did not end: %s (see its log)",
				strerror(-r));
	return CLI_OK;
}
