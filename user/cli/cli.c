// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/fabric.h"
#include "cli/help.h"
#include "common/util.h"

const struct cli_manager *cli_manager;

static int (*const run[CLI_COMMANDS])(const struct cli_args *args) = {
	[CLI_UP] = cmd_up,
	[CLI_DOWN] = cmd_down,
	[CLI_NET_ADD] = cmd_net_add,
	[CLI_NET_DEL] = cmd_net_del,
	[CLI_NET_SHOW] = cmd_net_show,
	[CLI_ATTACH] = cmd_attach,
	[CLI_DETACH] = cmd_detach,
	[CLI_CABLE] = cmd_cable,
	[CLI_UNCABLE] = cmd_uncable,
	[CLI_PERSIST] = cmd_persist,
	[CLI_SHOW] = cmd_show,
	[CLI_STATS] = cmd_stats,
	[CLI_FDB_SHOW] = cmd_fdb_show,
	[CLI_MONITOR] = cmd_monitor,
	[CLI_POLICY_LOAD] = cmd_policy_load,
	[CLI_QUOTA_SHOW] = cmd_quota_show,
	[CLI_POLICY_LIST] = cmd_policy_list,
	[CLI_POLICY_UNLOAD] = cmd_policy_unload,
	[CLI_ADDR_ADD] = cmd_l3_change,
	[CLI_ADDR_DEL] = cmd_l3_change,
	[CLI_ADDR_SHOW] = cmd_l3_show,
	[CLI_ROUTE_ADD] = cmd_l3_change,
	[CLI_ROUTE_DEL] = cmd_l3_change,
	[CLI_ROUTE_SHOW] = cmd_l3_show,
	[CLI_ROUTE_LOAD] = cmd_route_load,
	[CLI_NEIGH_ADD] = cmd_l3_change,
	[CLI_NEIGH_DEL] = cmd_l3_change,
	[CLI_NEIGH_SHOW] = cmd_l3_show,
	[CLI_SEND] = cmd_send,
	[CLI_RECV] = cmd_recv,
	[CLI_RUN] = cmd_run,
	[CLI_HELP] = cmd_help,
};

static int usage_error(const struct cli_args *args, const char *text)
{
	const char *topic = args->command ? args->command->name : args->group;

	fprintf(stderr, "%s (see: " CLI_PROGRAM " help%s%s)\n", text, topic ? " " : "",
		topic ? topic : "");
	return CLI_USAGE;
}

static int dispatch(const struct cli_args *args)
{
	int r;

	if (args->version) {
		puts(CLI_PROGRAM " " IPN_VERSION);
		return CLI_OK;
	}
	if (args->help) {
		help_print(stdout, args->command, args->group);
		return CLI_OK;
	}
	fabric_patient(args);
	r = cli_environment(args);
	return r < 0 ? cli_fail_errno(args, NULL, r) : run[cli_command_id(args->command)](args);
}

int cli_main(int argc, char *argv[], const struct cli_manager *manager)
{
	struct cli_args args;
	char text[512];
	int status;

	cli_manager = manager;
	if (cli_parse(argc, argv, &args, text, sizeof(text)) < 0)
		return usage_error(&args, text);
	status = dispatch(&args);
	if (fflush(stdout) != 0 && status == CLI_OK) {
		fprintf(stderr, "%s: standard output: %s\n",
			args.command ? args.command->name : CLI_PROGRAM, strerror(errno));
		status = CLI_FAILED;
	}
	return status;
}
