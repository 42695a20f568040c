// SPDX-License-Identifier: GPL-2.0-or-later
/* show, stats, fdb show. */
#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/util.h"

struct fabric_view {
	struct ipn_ctl_info info;
	void *nets, *ports;
	size_t nnets, nports;
};

static void view_free(const struct fabric_view *view)
{
	free(view->nets);
	free(view->ports);
}

static int view_get(const struct cli_args *args, int manager, struct fabric_view *view)
{
	struct client_call call = {
		.type = IPN_CTL_INFO,
		.reply = &view->info,
		.reply_size = sizeof(view->info),
	};
	int r = fabric_call(args, manager, &call, NULL);

	if (r == 0 && call.reply_len < sizeof(view->info)) {
		cli_fail_errno(args, NULL, EPROTO);
		r = -EPROTO;
	}
	if (r == 0)
		r = rows_networks(args, manager, &view->nets, &view->nnets);
	if (r == 0)
		r = rows_ports(args, manager, false, &view->ports, &view->nports);
	return r;
}

static json_t *view_json(const struct fabric_view *view)
{
	return json_pack("{s:o, s:o, s:o}", "fabric", display_object(&display_info, &view->info),
			 "networks", display_array(&display_networks, view->nets, view->nnets),
			 "ports", display_array(&display_ports, view->ports, view->nports));
}

/* The fabric and its networks, or only the network asked for; then the ports. */
static int view_print(const struct fabric_view *view, bool one)
{
	int r = one ? display_table(stdout, &display_networks, view->nets, view->nnets)
		    : display_record(stdout, &display_info, &view->info);

	putchar('\n');
	return r < 0 ? r : display_table(stdout, &display_ports, view->ports, view->nports);
}

int cmd_show(const struct cli_args *args)
{
	__attribute__((cleanup(view_free))) struct fabric_view view = { 0 };
	_cleanup_close_ int manager = fabric_open(args);

	if (manager < 0 || view_get(args, manager, &view) < 0)
		return CLI_FAILED;
	return rows_print(args, cli_given(args, CLI_JSON)
					? display_json(stdout, view_json(&view))
					: view_print(&view, cli_given(args, CLI_PATH)));
}

int cmd_stats(const struct cli_args *args)
{
	_cleanup_free_ void *ports = NULL;
	_cleanup_close_ int manager = fabric_open(args);
	size_t n;

	if (manager < 0 || rows_ports(args, manager, true, &ports, &n) < 0)
		return CLI_FAILED;
	return rows_print(args, display_rows(stdout, &display_stats, ports, n,
					     cli_given(args, CLI_JSON)));
}

int cmd_fdb_show(const struct cli_args *args)
{
	_cleanup_free_ void *entries = NULL;
	_cleanup_close_ int manager = fabric_open(args);
	size_t n;

	if (manager < 0 || rows_fdb(args, manager, &entries, &n) < 0)
		return CLI_FAILED;
	return rows_print(args, display_rows(stdout, &display_fdb, entries, n,
					     cli_given(args, CLI_JSON)));
}
