// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/help.h"

#include "common/names.h"
#include "common/util.h"

/* How a parameter is written: "--mtu N", "PATH". */
static void param_spell(const struct cli_param *param, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", param->name ? param->name : "",
		 param->name && param->arg ? " " : "", param->arg ? param->arg : "");
}

static void usage(FILE *out, const struct cli_command *command)
{
	const struct cli_param *param;
	bool group = false;
	char spelt[64];

	fprintf(out, "usage: " CLI_PROGRAM " %s", command->name);
	for (param = command->params; param->help; param++) {
		bool one_of = param->flags & CLI_ONE_OF;

		if (param->flags & CLI_HIDDEN)
			continue;
		if (group && !one_of)
			fputc(')', out);
		param_spell(param, spelt, sizeof(spelt));
		if (one_of)
			fprintf(out, " %s%s", group ? "| " : "(", spelt);
		else
			fprintf(out, param->flags & CLI_REQUIRED ? " %s" : " [%s]", spelt);
		group = one_of;
	}
	fputs(group ? ")\n" : "\n", out);
}

static void params(FILE *out, const struct cli_param *list)
{
	const struct cli_param *param;
	char spelt[64];

	for (param = list; param->help; param++) {
		if (param->flags & CLI_HIDDEN)
			continue;
		param_spell(param, spelt, sizeof(spelt));
		fprintf(out, "  %-27s %s", spelt, param->help);
		if (param->type == CLI_TYPE_NUMBER)
			fprintf(out, "; %u to %u", param->min, param->max);
		fputc('\n', out);
	}
}

static void help_command(FILE *out, const struct cli_command *command)
{
	usage(out, command);
	fprintf(out, "\n%s\n", command->summary);
	if (command->text)
		fprintf(out, "%s\n", command->text);
	if (cli_command_id(command) == CLI_STATS)
		for (__u32 i = 0; i < IPN_DROP_MAX; i++)
			if (names_drop(i))
				fprintf(out, "  %-12s %s\n", names_drop(i), names_drop_text(i));
	fputc('\n', out);
	params(out, command->params);
	params(out, cli_globals);
}

static bool in_group(const struct cli_command *command, const char *group)
{
	size_t len = group ? strlen(group) : 0;

	return !group || (strncmp(command->name, group, len) == 0 && command->name[len] == ' ');
}

void help_print(FILE *out, const struct cli_command *command, const char *group)
{
	if (command) {
		help_command(out, command);
		return;
	}
	fprintf(out, "usage: " CLI_PROGRAM " %s%s\n\n", group ? group : "COMMAND",
		group ? " COMMAND" : " [ARGUMENT...]");
	for (size_t i = 0; i < CLI_COMMANDS; i++)
		if (in_group(&cli_commands[i], group))
			fprintf(out, "  %-27s %s\n", cli_commands[i].name, cli_commands[i].summary);
	fputc('\n', out);
	params(out, cli_globals);
	fprintf(out, "\n" CLI_PROGRAM " help COMMAND tells more, and so does ipn-fabric(8).\n");
}

static const char *const type_words[CLI_TYPES] = {
	[CLI_TYPE_FLAG] = "flag",       [CLI_TYPE_TEXT] = "text",
	[CLI_TYPE_NETWORK] = "network", [CLI_TYPE_FILE] = "file",
	[CLI_TYPE_DIR] = "dir",         [CLI_TYPE_NETNS] = "netns",
	[CLI_TYPE_NUMBER] = "number",   [CLI_TYPE_SECONDS] = "number",
	[CLI_TYPE_MODE] = "number",     [CLI_TYPE_POLICY] = "policy",
	[CLI_TYPE_IFNAME] = "ifname",   [CLI_TYPE_VETH] = "ifname",
	[CLI_TYPE_PROGRAM] = "program", [CLI_TYPE_COMMAND] = "command",
};

static const char *param_name(const struct cli_param *param)
{
	return param->name ? param->name : param->arg;
}

static void param_words(FILE *out, const struct cli_param *list)
{
	const struct cli_param *param;

	for (param = list; param->help; param++)
		if (!(param->flags & CLI_HIDDEN))
			/* of several words the first is the name */
			fprintf(out, "%.*s %s\n", (int)strcspn(param_name(param), " "),
				param_name(param), type_words[param->type]);
}

void help_words(FILE *out, const struct cli_command *command, const char *group)
{
	const char *last = "";
	size_t last_len = 0;

	if (command) {
		param_words(out, command->params);
		param_words(out, cli_globals);
		return;
	}
	for (size_t i = 0; i < CLI_COMMANDS; i++) {
		const char *word = cli_commands[i].name;
		size_t len;

		if (!in_group(&cli_commands[i], group))
			continue;
		if (group)
			word += strlen(group) + 1;
		len = strcspn(word, " ");
		if (len != last_len || strncmp(word, last, len) != 0)
			fprintf(out, "%.*s command\n", (int)len, word);
		last = word;
		last_len = len;
	}
	param_words(out, cli_globals);
}

int cmd_help(const struct cli_args *args)
{
	const char *topic = args->value[CLI_TOPIC].text, *second = args->value[CLI_SUBTOPIC].text;
	const struct cli_command *command = topic ? cli_command_find(topic, second) : NULL;

	if (topic && !command && (second || !cli_is_group(topic))) {
		fprintf(stderr, "help: %s%s%s: no such command (see: " CLI_PROGRAM " help)\n",
			topic, second ? " " : "", second ? second : "");
		return CLI_USAGE;
	}
	if (cli_given(args, CLI_WORDS))
		help_words(stdout, command, topic);
	else
		help_print(stdout, command, topic);
	return CLI_OK;
}
