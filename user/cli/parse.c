// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Command lines against the table of commands. Options may stand anywhere; those of all commands
 * (cli_globals) also before the command. "--" ends the options.
 */
#include "cli/cli.h"

#include <ctype.h>
#include <ipn/control.h>
#include <stdarg.h>

#include "common/util.h"
#include "common/text.h"

#define NS_PER_S 1000000000ULL

struct parser {
	struct cli_args *args;
	char *text;
	size_t text_size;
};

static int __attribute__((format(printf, 2, 3))) bad(const struct parser *p, const char *fmt, ...)
{
	const struct cli_args *args = p->args;
	va_list ap;
	int n;

	n = snprintf(p->text, p->text_size, "%s: ",
		     args->command ? args->command->name
		     : args->group ? args->group
				   : CLI_PROGRAM);
	va_start(ap, fmt);
	if (n >= 0 && (size_t)n < p->text_size)
		vsnprintf(p->text + n, p->text_size - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/*
 * One function per type: 0 and the number, or -EINVAL.
 */

static int value_any(const struct cli_param *param, const char *s, __u64 *out)
{
	(void)param, (void)s, (void)out;
	return 0;
}

static int value_not_empty(const struct cli_param *param, const char *s, __u64 *out)
{
	(void)param, (void)out;
	return *s ? 0 : -EINVAL;
}

static int value_text(const struct cli_param *param, const char *s, __u64 *out)
{
	(void)out;
	return !param->max || strlen(s) <= param->max ? 0 : -EINVAL;
}

static int value_number(const struct cli_param *param, const char *s, __u64 *out)
{
	__u32 number;
	int r = text_number(s, param->min, param->max, &number);

	if (r == 0)
		*out = number;
	return r;
}

static int value_seconds(const struct cli_param *param, const char *s, __u64 *out)
{
	__u64 ns = 0, unit = NS_PER_S;
	bool digits = false;

	for (; isdigit((unsigned char)*s); s++, digits = true) {
		ns = ns * 10 + (__u64)(*s - '0') * NS_PER_S;
		if (ns > param->max * NS_PER_S)
			return -EINVAL;
	}
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++, digits = true) {
			unit /= 10;
			ns += (__u64)(*s - '0') * unit;
		}
	if (*s || !digits || ns < param->min * NS_PER_S || ns > param->max * NS_PER_S)
		return -EINVAL;
	*out = ns;
	return 0;
}

static int value_mode(const struct cli_param *param, const char *s, __u64 *out)
{
	__u32 mode;
	int r = text_mode(s, &mode);

	if (r == 0 && (mode < param->min || mode > param->max))
		r = -EINVAL;
	if (r == 0)
		*out = mode;
	return r;
}

static int value_policy(const struct cli_param *param, const char *s, __u64 *out)
{
	__u32 policy;

	(void)param;
	if (text_policy(s, &policy) == 0) {
		*out = policy;
		return 0;
	}
	/* a loaded one: whether it is there, the manager knows; 0 stands for that */
	*out = IPN_POLICY_ANY;
	return islower((unsigned char)*s) && strlen(s) < IPN_POLICY_NAME_MAX &&
			       strcmp(s, "any") != 0
		       ? 0
		       : -EINVAL;
}

static int value_ifname(const struct cli_param *param, const char *s, __u64 *out)
{
	(void)param, (void)out;
	return text_ifname_ok(s) ? 0 : -EINVAL;
}

static int value_veth(const struct cli_param *param, const char *s, __u64 *out)
{
	const char *colon = strchr(s, ':');
	char name[IPN_NAME_MAX + 1];

	if (!colon)
		return value_ifname(param, s, out);
	snprintf(name, sizeof(name), "%.*s", (int)(colon - s), s);
	return colon[1] ? value_ifname(param, name, out) : -EINVAL;
}

static const struct value_type {
	int (*read)(const struct cli_param *param, const char *s, __u64 *out);
	const char *wrong;
	bool range; /* the text goes on with the range */
} value_types[CLI_TYPES] = {
	[CLI_TYPE_FLAG] = { value_any, "", false },
	[CLI_TYPE_TEXT] = { value_text, "too long, its length in bytes is", true },
	[CLI_TYPE_NETWORK] = { value_not_empty, "not a path", false },
	[CLI_TYPE_FILE] = { value_not_empty, "not a file name", false },
	[CLI_TYPE_DIR] = { value_not_empty, "not a directory name", false },
	[CLI_TYPE_NETNS] = { value_not_empty, "not a name", false },
	[CLI_TYPE_NUMBER] = { value_number, "not a number", true },
	[CLI_TYPE_SECONDS] = { value_seconds, "not a number of seconds", true },
	[CLI_TYPE_MODE] = { value_mode, "not an octal mode from 0 to 0777", false },
	[CLI_TYPE_POLICY] = { value_policy,
			      "no such policy (broadcast, switch, l3, "
			      "or one that was loaded)",
			      false },
	[CLI_TYPE_IFNAME] = { value_ifname,
			      "not an interface name (1 to 15 characters, no blank / : or %)",
			      false },
	[CLI_TYPE_VETH] = { value_veth,
			    "not NAME or NAME:NETNS (the name has 1 to 15 characters, "
			    "no blank / : or %)",
			    false },
	[CLI_TYPE_PROGRAM] = { value_not_empty, "not a program", false },
	[CLI_TYPE_COMMAND] = { value_any, "", false },
};

/* Reads `s` as the value of a parameter. */
static int param_set(const struct parser *p, const struct cli_param *param, const char *s)
{
	const char *label = param->name ? param->name : param->arg;
	const struct value_type *type = &value_types[param->type];
	struct cli_value *value = &p->args->value[param->key];
	char range[64] = "";

	if (value->text)
		return bad(p, "%s: given twice", label);
	if (type->read(param, s, &value->number) < 0) {
		if (type->range)
			snprintf(range, sizeof(range), " from %u to %u", param->min, param->max);
		return bad(p, "%s %s: %s%s", label, *s ? s : "\"\"", type->wrong, range);
	}
	value->text = s;
	return 0;
}

static const struct cli_param *option_in(const struct cli_param *params, const char *s, size_t len)
{
	const struct cli_param *param;

	for (param = params; param->help; param++)
		if (param->name && strlen(param->name) == len && strncmp(param->name, s, len) == 0)
			return param;
	return NULL;
}

static const struct cli_param *option_find(const struct cli_args *args, const char *s, size_t len)
{
	const struct cli_param *param = option_in(cli_globals, s, len);

	if (!param && args->command)
		param = option_in(args->command->params, s, len);
	return param;
}

/* An option at *argv, and its value, which may be the next argument: then *argv moves on. */
static int option_take(const struct parser *p, char *const **argv)
{
	const char *s = **argv, *equals = strchr(s, '=');
	size_t len = equals ? (size_t)(equals - s) : strlen(s);
	const struct cli_param *param = option_find(p->args, s, len);

	if (!param)
		return p->args->command ? bad(p, "%s: unknown option", s)
					: bad(p, "%s: unknown option, or before its command", s);
	if (!param->arg) {
		if (equals)
			return bad(p, "%s: takes no value", param->name);
		return param_set(p, param, param->name);
	}
	if (equals)
		return param_set(p, param, equals + 1);
	s = (*argv)[1];
	if (!s || strncmp(s, "--", 2) == 0)
		return bad(p, "%s: needs a value (%s %s)", param->name, param->name, param->arg);
	(*argv)++;
	return param_set(p, param, s);
}

/* An argument that is no option: a word of the command, or a parameter by position. */
static int word_take(const struct parser *p, const char *s)
{
	struct cli_args *args = p->args;
	const struct cli_param *param;
	const char *group = args->group;

	if (args->command) {
		for (param = args->command->params; param->help; param++)
			if (!param->name && !cli_given(args, param->key))
				return param_set(p, param, s);
		return bad(p, "%s: one argument too many", s);
	}
	if (!group && cli_is_group(s)) {
		args->group = s;
		return 0;
	}
	args->command = group ? cli_command_find(group, s) : cli_command_find(s, NULL);
	return args->command ? 0 : bad(p, "%s: no such command", s);
}

/* Nothing required is missing, and there is exactly one of those that exclude each other. */
static int check_complete(const struct parser *p)
{
	const struct cli_param *param, *one = NULL;
	bool any_of = false;
	char names[256] = "";

	for (param = p->args->command->params; param->help; param++) {
		bool given = cli_given(p->args, param->key);
		size_t len = strlen(names);

		if (param->flags & CLI_REQUIRED && !given)
			return bad(p, "%s%s%s is missing", param->name ? param->name : "",
				   param->name ? " " : "", param->arg);
		if (!(param->flags & CLI_ONE_OF))
			continue;
		if (given && one)
			return bad(p, "%s and %s: only one of them at a time",
				   one->name ?: one->arg, param->name ?: param->arg);
		if (given)
			one = param;
		snprintf(names + len, sizeof(names) - len, "%s%s", any_of ? " or " : "",
			 param->name ?: param->arg);
		any_of = true;
	}
	return any_of && !one ? bad(p, "%s is missing", names) : 0;
}

static int check_command(const struct parser *p)
{
	struct cli_args *args = p->args;
	char names[256] = "";

	if (args->command)
		return check_complete(p);
	if (!args->group)
		return bad(p, "what to do is missing");
	for (size_t i = 0; i < CLI_COMMANDS; i++) {
		size_t len = strlen(args->group), used = strlen(names);
		const char *name = cli_commands[i].name;

		if (strncmp(name, args->group, len) == 0 && name[len] == ' ')
			snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
				 name);
	}
	return bad(p, "what to do is missing (%s)", names);
}

int cli_parse(int argc, char *const argv[], struct cli_args *args, char *text, size_t text_size)
{
	struct parser p = { .text = text, .text_size = text_size };
	bool options = true;
	int r = 0;

	*args = (struct cli_args){ 0 };
	p.args = args;
	if (text_size)
		text[0] = '\0';
	if (argc < 1)
		return bad(&p, "what to do is missing");
	for (argv++; *argv && r == 0; argv++) {
		if (options && strcmp(*argv, "--") == 0)
			options = false;
		else if (options && strcmp(*argv, "-h") == 0)
			args->help = true;
		else if (options && (*argv)[0] == '-' && (*argv)[1])
			r = option_take(&p, &argv);
		else
			r = word_take(&p, *argv);
		if (r == 0 && cli_given(args, CLI_RUN_PROGRAM)) {
			args->rest = argv;
			break;
		}

		args->help |= cli_given(args, CLI_HELP_FLAG);
		args->version |= cli_given(args, CLI_VERSION);
		if (r == 0 && (args->help || args->version))
			return 0;
	}
	return r < 0 ? r : check_command(&p);
}

const struct cli_command *cli_command_find(const char *word, const char *second)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s%s", word, second ? " " : "", second ? second : "");
	for (size_t i = 0; i < CLI_COMMANDS; i++)
		if (strcmp(cli_commands[i].name, name) == 0)
			return &cli_commands[i];
	return NULL;
}

bool cli_is_group(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; len && i < CLI_COMMANDS; i++)
		if (strncmp(cli_commands[i].name, word, len) == 0 &&
		    cli_commands[i].name[len] == ' ')
			return true;
	return false;
}

static const char *directory(const struct cli_args *args, enum cli_key key, const char *variable,
			     const char *fallback)
{
	const char *s = args->value[key].text;

	if (!s)
		s = getenv(variable);
	return s && *s ? s : fallback;
}

const char *cli_run_dir(const struct cli_args *args)
{
	return directory(args, CLI_RUN_DIR, IPN_CTL_ENV_RUN_DIR, IPN_CTL_RUN_DIR);
}

const char *cli_bpffs(const struct cli_args *args)
{
	return directory(args, CLI_BPFFS, IPN_CTL_ENV_BPFFS, IPN_CTL_BPFFS);
}

int cli_environment(const struct cli_args *args)
{
	if (setenv(IPN_CTL_ENV_RUN_DIR, cli_run_dir(args), 1) < 0 ||
	    setenv(IPN_CTL_ENV_BPFFS, cli_bpffs(args), 1) < 0)
		return -errno;
	return 0;
}
