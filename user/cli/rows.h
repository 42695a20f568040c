/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows that commands show: what they are made of, and how they come from the manager. */
#ifndef IPN_CLI_ROWS_H
#define IPN_CLI_ROWS_H

#include "cli/cli.h"
#include "cli/display.h"

extern const struct display display_info;     /* struct ipn_ctl_info */
extern const struct display display_networks; /* struct ipn_ctl_net */
extern const struct display display_ports;    /* struct ipn_ctl_port */
extern const struct display display_stats;    /* struct ipn_ctl_port */
extern const struct display display_fdb;      /* struct ipn_ctl_fdb */

/*
 * All of them, or those of the network whose path is given to the command. The rows are for the
 * caller to free. They print what is wrong. 0, or -errno.
 */
int rows_networks(const struct cli_args *args, int manager, void **rows, size_t *n);
int rows_ports(const struct cli_args *args, int manager, bool stats, void **rows, size_t *n);
int rows_fdb(const struct cli_args *args, int manager, void **rows, size_t *n);

/* Exit status after display_*() returned r. */
int rows_print(const struct cli_args *args, int r);

#endif
