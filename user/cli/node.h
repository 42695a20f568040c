/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process node of this program, for send and recv. */
#ifndef IPN_CLI_NODE_H
#define IPN_CLI_NODE_H

#include <ipn/ipn.h>

#include "cli/cli.h"

/*
 * Joins the network of the path given to the command, with one side shut down before (SHUT_RD or
 * SHUT_WR): the node does not count there. Prints what is wrong. Returns a descriptor of libipn, or
 * -errno.
 */
int node_join(const struct cli_args *args, int shut);

static inline void node_leave(const int *fd)
{
	if (*fd >= 0)
		ipn_close(*fd);
}
#define _cleanup_node_ __attribute__((cleanup(node_leave)))

#endif
