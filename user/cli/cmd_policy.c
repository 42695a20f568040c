// SPDX-License-Identifier: GPL-2.0-or-later
/* policy load, policy list, policy unload; and the number of a policy that is given by its name. */
#include <ctype.h>
#include <fcntl.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/util.h"
#include "common/text.h"

static int policies(const struct cli_args *args, int manager, struct ipn_ctl_policy **out,
		    size_t *n)
{
	const struct fabric_list list = {
		.type = IPN_CTL_POLICY_LIST,
		.path_fd = -1,
		.row_size = sizeof(struct ipn_ctl_policy),
	};
	void *rows = NULL;
	int r = fabric_list(args, manager, &list, &rows, n);

	*out = rows;
	return r;
}

int policy_number(const struct cli_args *args, int manager, const char *name, __u32 *number)
{
	_cleanup_free_ struct ipn_ctl_policy *all = NULL;
	size_t n;
	int r;

	if (text_policy(name, number) == 0)
		return 0;
	r = policies(args, manager, &all, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(all[i].name, name, sizeof(all[i].name)) == 0) {
			*number = all[i].number;
			return 0;
		}
	}
	cli_fail(args, name, "no such policy (see: " CLI_PROGRAM " policy list)");
	return -ENOENT;
}

int cmd_policy_load(const struct cli_args *args)
{
	const char *file = args->value[CLI_FILE].text, *name = args->value[CLI_NAME].text;
	struct ipn_ctl_policy_load load = { .number = (__u32)args->value[CLI_NUMBER].number };
	_cleanup_close_ int manager = -1;
	_cleanup_close_ int fd = -1;
	struct ipn_ctl_policy policy;
	struct client_call call = {
		.type = IPN_CTL_POLICY_LOAD,
		.request = &load,
		.request_len = sizeof(load),
		.fds = &fd,
		.nfds = 1,
		.reply = &policy,
		.reply_size = sizeof(policy),
	};

	manager = fabric_open(args);
	if (manager < 0)
		return CLI_FAILED;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return cli_fail(args, file, "%s", strerror(errno));
	util_copy(load.name, sizeof(load.name), name);
	return fabric_call(args, manager, &call, file) < 0 ? CLI_FAILED : CLI_OK;
}

int cmd_policy_unload(const struct cli_args *args)
{
	const char *name = args->value[CLI_POLICY].text;
	_cleanup_close_ int manager = fabric_open(args);
	struct ipn_ctl_policy_unload unload = { 0 };
	struct client_call call = {
		.type = IPN_CTL_POLICY_UNLOAD,
		.request = &unload,
		.request_len = sizeof(unload),
	};

	if (manager < 0 || policy_number(args, manager, name, &unload.number) < 0)
		return CLI_FAILED;
	return fabric_call(args, manager, &call, NULL) < 0 ? CLI_FAILED : CLI_OK;
}

static json_t *policy_calls(const void *row)
{
	static const char *const names[IPN_CALLS] = IPN_CALL_NAMES;
	const struct ipn_ctl_policy *policy = row;
	json_t *calls = json_array();

	for (int i = 0; calls && i < IPN_CALLS; i++)
		if (policy->calls >> i & 1)
			json_array_append_new(calls, json_string(names[i]));
	return calls;
}

static json_t *policy_calls_text(const void *row)
{
	static const char *const names[IPN_CALLS] = IPN_CALL_NAMES;
	const struct ipn_ctl_policy *policy = row;
	char text[160] = "";

	for (int i = 0; i < IPN_CALLS; i++)
		if (policy->calls >> i & 1)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				 text[0] ? "," : "", names[i]);
	return json_string(text);
}

static json_t *policy_origin(const void *row)
{
	return json_string(((const struct ipn_ctl_policy *)row)->builtin ? "built in" : "loaded");
}

static const struct display_column columns[] = {
	DISPLAY_FIELD("NUMBER", "number", DISPLAY_U32, struct ipn_ctl_policy, number),
	DISPLAY_FIELD("NAME", "name", DISPLAY_TEXT, struct ipn_ctl_policy, name),
	DISPLAY_CALL("ORIGIN", NULL, policy_origin),
	DISPLAY_FIELD(NULL, "builtin", DISPLAY_BOOL, struct ipn_ctl_policy, builtin),
	DISPLAY_FIELD("NETWORKS", "networks", DISPLAY_U32, struct ipn_ctl_policy, nets),
	DISPLAY_CALL("CALLBACKS", NULL, policy_calls_text),
	DISPLAY_CALL(NULL, "callbacks", policy_calls),
};
static const struct display display_policies = { columns, ARRAY_SIZE(columns),
						 sizeof(struct ipn_ctl_policy) };

int cmd_policy_list(const struct cli_args *args)
{
	_cleanup_free_ struct ipn_ctl_policy *all = NULL;
	_cleanup_close_ int manager = fabric_open(args);
	size_t n;

	if (manager < 0 || policies(args, manager, &all, &n) < 0)
		return CLI_FAILED;
	return rows_print(args, display_rows(stdout, &display_policies, all, n,
					     cli_given(args, CLI_JSON)));
}
