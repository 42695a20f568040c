/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the table of commands says about itself. */
#ifndef IPN_CLI_HELP_H
#define IPN_CLI_HELP_H

#include <stdio.h>

#include "cli/cli.h"

/* Help on a command, on a group of commands, or on all when both are NULL. */
void help_print(FILE *out, const struct cli_command *command, const char *group);

/*
 * What may follow, one per line, for the shell completion: without a command the words of commands
 * (the second words of the group, if one is given), else its parameters, each with its type:
 * "--mtu number", "PATH network".
 */
void help_words(FILE *out, const struct cli_command *command, const char *group);

/* `help COMMAND`. Returns the exit status. */
int cmd_help(const struct cli_args *args);

#endif
