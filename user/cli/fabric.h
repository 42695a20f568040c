/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands share: the way to the manager, and the line that says why something failed. */
#ifndef IPN_CLI_FABRIC_H
#define IPN_CLI_FABRIC_H

#include <ipn/control.h>

#include "cli/cli.h"
#include "lib/client.h"

/*
 * Prints "COMMAND: VALUE: what is wrong" on standard error. `value` may be NULL.
 * Both return CLI_FAILED, so that a command can end with them.
 */
int cli_fail(const struct cli_args *args, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for an errno (of either sign), with what to do about it. */
int cli_fail_errno(const struct cli_args *args, const char *value, int err);

/* A line for an errno, with what to do if there is something to say. */
const char *fabric_strerror(int err);

/* From now on the user is told when the manager lets this command wait. */
void fabric_patient(const struct cli_args *args);

/*
 * Connects to the manager and prints what is wrong if that fails. Returns a descriptor, or -errno.
 */
int fabric_open(const struct cli_args *args);

/*
 * One exchange. If it fails, prints the manager's text, or the errno: `value` is what the request
 * was about. Returns 0, or -errno.
 */
int fabric_call(const struct cli_args *args, int fd, struct client_call *call, const char *value);

/*
 * All pages of a list (IPN_CTL_*_LIST), of the network of path_fd or, with -1, of all networks.
 * *rows is for the caller to free. Prints what is wrong. Returns 0, or -errno.
 */
struct fabric_list {
	enum ipn_ctl_type type;
	int path_fd;
	bool stats;
	size_t row_size;
	const char *value; /* for messages; may be NULL */
};
int fabric_list(const struct cli_args *args, int fd, const struct fabric_list *list, void **rows,
		size_t *n);

/*
 * Opens the path given to the command for the manager to judge (O_PATH); *fd is -1 if none was
 * given. Prints what is wrong. Returns 0, or -errno.
 */
int fabric_open_path(const struct cli_args *args, int *fd);
/* The same for the second path. */
int fabric_open_path2(const struct cli_args *args, int *fd);

/*
 * The number of a policy given as its name or number, which may have been loaded. Prints what is
 * wrong. Returns 0, or -errno.
 */
int policy_number(const struct cli_args *args, int manager, const char *name, __u32 *number);

/*
 * The commands: run one, return the exit status.
 */
int cmd_up(const struct cli_args *args);
int cmd_down(const struct cli_args *args);
int cmd_net_add(const struct cli_args *args);
int cmd_net_del(const struct cli_args *args);
int cmd_net_show(const struct cli_args *args);
int cmd_attach(const struct cli_args *args);
int cmd_detach(const struct cli_args *args);
int cmd_cable(const struct cli_args *args);
int cmd_uncable(const struct cli_args *args);
int cmd_persist(const struct cli_args *args);
int cmd_show(const struct cli_args *args);
int cmd_stats(const struct cli_args *args);
int cmd_fdb_show(const struct cli_args *args);
int cmd_monitor(const struct cli_args *args);
int cmd_policy_load(const struct cli_args *args);
int cmd_quota_show(const struct cli_args *args);
int cmd_policy_list(const struct cli_args *args);
int cmd_policy_unload(const struct cli_args *args);
int cmd_l3_change(const struct cli_args *args);
int cmd_l3_show(const struct cli_args *args);
int cmd_route_load(const struct cli_args *args);
int cmd_send(const struct cli_args *args);
int cmd_recv(const struct cli_args *args);
int cmd_run(const struct cli_args *args);

#endif
