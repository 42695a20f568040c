// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/fabric.h"

#include <fcntl.h>
#include <stdarg.h>

#include "common/util.h"

static void fail_prefix(const struct cli_args *args, const char *value)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", args->command->name);
	if (value)
		fprintf(stderr, "%s: ", value);
}

int cli_fail(const struct cli_args *args, const char *value, const char *fmt, ...)
{
	va_list ap;

	fail_prefix(args, value);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CLI_FAILED;
}

static const struct {
	int err;
	const char *text;
} errors[] = {
	{ ENOENT, "no such file or directory (ipn-fabric net show lists the networks)" },
	{ ECONNREFUSED, "is not an IPN network (make one with: ipn-fabric net add PATH)" },
	{ EACCES, "permission denied (the path needs r to receive from it, w to send to it)" },
	{ EPERM,
	  "not permitted (managing a network needs x on its path, interfaces CAP_NET_ADMIN)" },
	{ EADDRNOTAVAIL,
	  "the port is taken or out of range, or the network is full (see: ipn-fabric "
	  "show PATH)" },
	{ ECONNRESET, "the port was taken away (the network was removed, or the port detached)" },
	{ EPROTONOSUPPORT, "no such policy (see: ipn-fabric policy list)" },
	{ EDQUOT, "your quota of networks, ports or memory is used up (remove some, or ask root)" },
	{ ENOSPC, "the fabric is full (remove networks or ports)" },
	{ EPROTO, "answer makes no sense (are this program and the manager of one version?)" },
	{ ENAMETOOLONG, "too long for a network's path (107 bytes at most)" },
	{ ENETDOWN, "the manager went away (start it again with: ipn-fabric up)" },
};

const char *fabric_strerror(int err)
{
	err = err < 0 ? -err : err;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].err == err)
			return errors[i].text;
	return strerror(err);
}

int cli_fail_errno(const struct cli_args *args, const char *value, int err)
{
	return cli_fail(args, value, "%s", fabric_strerror(err));
}

static const struct cli_args *waits;

static void on_slow(void)
{
	cli_fail(waits, NULL,
		 "waiting for the manager, which does not answer: is it stopped? "
		 "(see: ps -C " CLI_PROGRAM "; its socket: %s/" IPN_CTL_SOCKET ")",
		 cli_run_dir(waits));
}

void fabric_patient(const struct cli_args *args)
{
	waits = args;
	client_slow = on_slow;
}

int fabric_open(const struct cli_args *args)
{
	const char *run_dir = cli_run_dir(args);
	bool elsewhere = strcmp(run_dir, IPN_CTL_RUN_DIR) != 0;
	int fd = client_open(run_dir, NULL);

	if (fd == -ENETDOWN)
		cli_fail(args, NULL,
			 "no fabric runs here: %s/" IPN_CTL_SOCKET " (start one with: " CLI_PROGRAM
			 " up%s%s)",
			 run_dir, elsewhere ? " --run-dir " : "", elsewhere ? run_dir : "");
	else if (fd < 0)
		cli_fail(args, NULL, "%s/" IPN_CTL_SOCKET ": %s", run_dir, strerror(-fd));
	return fd;
}

int fabric_call(const struct cli_args *args, int fd, struct client_call *call, const char *value)
{
	int r = client_call(fd, call);

	if (r == 0)
		return 0;
	if (r == -EINTR)
		return r; /* who interrupted it knows */
	if (!call->text[0]) {
		cli_fail_errno(args, value, r);
		return r;
	}
	/* The manager may have named the value itself. */
	if (value && strncmp(call->text, value, strlen(value)) == 0)
		value = NULL;
	cli_fail(args, value, "%s", call->text);
	return r;
}

int fabric_list(const struct cli_args *args, int fd, const struct fabric_list *list, void **rows,
		size_t *n)
{
	_cleanup_free_ char *packet = malloc(IPN_CTL_MAX_PACKET);
	_cleanup_free_ char *all = NULL;
	struct ipn_ctl_list request = { .stats = list->stats };
	size_t total = 0;

	if (!packet)
		goto out_of_memory;
	do {
		struct client_call call = {
			.type = list->type,
			.request = &request,
			.request_len = sizeof(request),
			.fds = &list->path_fd,
			.nfds = list->path_fd >= 0,
			.reply = packet,
			.reply_size = IPN_CTL_MAX_PACKET,
		};
		struct ipn_ctl_page page;
		size_t bytes;
		char *more;
		int r = fabric_call(args, fd, &call, list->value);

		if (r < 0)
			return r;
		if (call.reply_len < sizeof(page))
			goto nonsense;
		memcpy(&page, packet, sizeof(page));
		bytes = call.reply_len - sizeof(page);
		/* A list that does not move on would go on for ever. */
		if (bytes / list->row_size < page.count || (page.next && page.next <= request.from))
			goto nonsense;
		bytes = page.count * list->row_size;
		more = realloc(all, total * list->row_size + bytes + 1);
		if (!more)
			goto out_of_memory;
		all = more;
		memcpy(all + total * list->row_size, packet + sizeof(page), bytes);
		total += page.count;
		request.from = page.next;
	} while (request.from);

	*rows = util_take_ptr(all);
	*n = total;
	return 0;

nonsense:
	cli_fail_errno(args, list->value, EPROTO);
	return -EPROTO;
out_of_memory:
	cli_fail_errno(args, list->value, ENOMEM);
	return -ENOMEM;
}

static int open_path(const struct cli_args *args, enum cli_key key, int *fd)
{
	const char *path = args->value[key].text;

	*fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;
	if (path && *fd < 0) {
		int err = errno;

		cli_fail(args, path, "%s", err == ENOENT ? fabric_strerror(err) : strerror(err));
		return -err;
	}
	return 0;
}

int fabric_open_path(const struct cli_args *args, int *fd)
{
	return open_path(args, CLI_PATH, fd);
}

int fabric_open_path2(const struct cli_args *args, int *fd)
{
	return open_path(args, CLI_PATH2, fd);
}
