// SPDX-License-Identifier: GPL-2.0-or-later
/* up, down: the life of the manager. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cli/fabric.h"
#include "common/manager_opts.h"
#include "common/util.h"

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

	return cli_manager->run(&opts);
}

/* The process at the other end; -1: it is out of sight, in another pid namespace. */
static int manager_process(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || cred.pid <= 0 ||
	    cred.pid == getpid())
		return -1;
	return (int)syscall(SYS_pidfd_open, cred.pid, 0);
}

/*
 * Until the manager has closed its end, which it does when all is removed, and is no more: what
 * comes next may be another one.
 */
static int wait_for_end(int fd, int process)
{
	struct pollfd p[] = { { .fd = fd }, { .fd = process, .events = POLLIN } };

	for (size_t i = 0; i < 2; i++) {
		int r;

		do
			r = poll(&p[i], 1, DOWN_WAIT_MS);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		if (process < 0)
			break;
	}
	return 0;
}

int cmd_down(const struct cli_args *args)
{
	const struct manager_opts opts = manager_opts(args);
	struct client_call call = { .type = IPN_CTL_DOWN };
	_cleanup_close_ int fd = client_open(cli_run_dir(args), NULL), process = -1;
	int r;

	if (fd == -ENETDOWN)
		return cli_manager->down_offline(&opts);
	if (fd < 0)
		return cli_fail(args, NULL, "%s/" IPN_CTL_SOCKET ": %s", opts.run_dir,
				strerror(-fd));
	process = manager_process(fd);
	if (fabric_call(args, fd, &call, NULL) < 0)
		return CLI_FAILED;
	r = wait_for_end(fd, process);
	if (r < 0)
		return cli_fail(args, opts.run_dir, "the manager did not end: %s (see its log)",
				strerror(-r));
	return CLI_OK;
}
