// SPDX-License-Identifier: GPL-2.0-or-later
/* quota show */
#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/util.h"

static json_t *user(const void *row)
{
	const struct ipn_ctl_quota *q = row;

	return q->uid == IPN_QUOTA_ALL ? json_string("all") : json_integer(q->uid);
}

static json_t *most(const void *row)
{
	const struct ipn_ctl_quota *q = row;

	return q->most ? json_integer((json_int_t)q->most) : json_null();
}

static const struct display_column columns[] = {
	DISPLAY_CALL("USER", "user", user),
	DISPLAY_FIELD("WHAT", "what", DISPLAY_TEXT, struct ipn_ctl_quota, what),
	DISPLAY_FIELD("USED", "used", DISPLAY_U64, struct ipn_ctl_quota, used),
	DISPLAY_CALL("MOST", "most", most),
};

static const struct display display_quotas = { columns, ARRAY_SIZE(columns),
					       sizeof(struct ipn_ctl_quota) };

int cmd_quota_show(const struct cli_args *args)
{
	const struct fabric_list list = {
		.type = IPN_CTL_QUOTA_LIST,
		.path_fd = -1,
		.row_size = sizeof(struct ipn_ctl_quota),
	};
	_cleanup_close_ int manager = fabric_open(args);
	void *rows = NULL;
	size_t n;
	int r;

	if (manager < 0 || fabric_list(args, manager, &list, &rows, &n) < 0)
		return CLI_FAILED;
	r = rows_print(args,
		       display_rows(stdout, &display_quotas, rows, n, cli_given(args, CLI_JSON)));
	free(rows);
	return r;
}
