// SPDX-License-Identifier: GPL-2.0-or-later
/* Command lines in; status, values and messages out. And: the tables are sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "common/util.h"

#define MAX_ARGS 16

/* Splits at blanks; '' is an empty word. */
static int parse(const char *line, struct cli_args *args, char *text, size_t size)
{
	static char words[512], *argv[MAX_ARGS + 1]; /* args->rest stays in it */
	int argc = 1;

	argv[0] = (char *)CLI_PROGRAM;
	assert_int_equal(util_copy(words, sizeof(words), line), 0);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) {
		assert_true(argc < MAX_ARGS);
		argv[argc++] = strcmp(w, "''") == 0 ? (char *)"" : w;
	}
	argv[argc] = NULL;
	return cli_parse(argc, argv, args, text, size);
}

static void a_program_keeps_its_arguments(void **state)
{
	static const char *const lines[] = {
		"run prog --json -- -x",
		"run -- prog --json -- -x",
		"--run-dir /d run prog --json -- -x",
	};
	struct cli_args args;
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(parse(lines[i], &args, text, sizeof(text)), 0);
		assert_int_equal(cli_command_id(args.command), CLI_RUN);
		assert_string_equal(args.value[CLI_RUN_PROGRAM].text, "prog");
		assert_string_equal(args.rest[0], "prog");
		assert_string_equal(args.rest[1], "--json");
		assert_string_equal(args.rest[2], "--");
		assert_string_equal(args.rest[3], "-x");
		assert_null(args.rest[4]);
		assert_false(cli_given(&args, CLI_JSON));
	}
	assert_int_equal(parse("run", &args, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "run: PROGRAM [ARGUMENT...] is missing");
	assert_int_equal(parse("run --json prog", &args, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "run: --json: unknown option");
}

static void good_lines_give_their_values(void **state)
{
	static const struct {
		const char *line;
		enum cli_command_id command;
		enum cli_key key;
		const char *text; /* NULL: number is compared */
		__u64 number;
	} rows[] = {
		{ "up", CLI_UP, CLI_KEYS, NULL, 0 },
		{ "up --foreground", CLI_UP, CLI_FOREGROUND, "--foreground", 0 },
		{ "up --config a.ini --netns blue", CLI_UP, CLI_NETNS, "blue", 0 },
		{ "down --run-dir /r", CLI_DOWN, CLI_RUN_DIR, "/r", 0 },
		{ "--run-dir /r down", CLI_DOWN, CLI_RUN_DIR, "/r", 0 },
		{ "net --run-dir=/r add /n", CLI_NET_ADD, CLI_RUN_DIR, "/r", 0 },
		{ "--bpffs /b net add /n", CLI_NET_ADD, CLI_BPFFS, "/b", 0 },
		{ "net add /n", CLI_NET_ADD, CLI_PATH, "/n", 0 },
		{ "net add -- --mtu", CLI_NET_ADD, CLI_PATH, "--mtu", 0 },
		{ "net add /n --policy broadcast", CLI_NET_ADD, CLI_POLICY, NULL,
		  IPN_POLICY_BROADCAST },
		{ "net add /n --policy=switch", CLI_NET_ADD, CLI_POLICY, NULL, IPN_POLICY_SWITCH },
		{ "net add --mtu 1 /n", CLI_NET_ADD, CLI_MTU, NULL, 1 },
		{ "net add /n --mtu 65535", CLI_NET_ADD, CLI_MTU, NULL, 65535 },
		{ "net add /n --nodes 4096", CLI_NET_ADD, CLI_NODES, NULL, 4096 },
		{ "net add /n --pool 65536", CLI_NET_ADD, CLI_POOL, NULL, 65536 },
		{ "net add /n --mode 0750", CLI_NET_ADD, CLI_MODE, NULL, 0750 },
		{ "net add /n --mode 750", CLI_NET_ADD, CLI_MODE, NULL, 0750 },
		{ "net del /n", CLI_NET_DEL, CLI_PATH, "/n", 0 },
		{ "net show", CLI_NET_SHOW, CLI_KEYS, NULL, 0 },
		{ "net show /n --json", CLI_NET_SHOW, CLI_JSON, "--json", 0 },
		{ "attach /n --tap vm0", CLI_ATTACH, CLI_TAP, "vm0", 0 },
		{ "attach /n --veth eth0:blue --port 0", CLI_ATTACH, CLI_VETH, "eth0:blue", 0 },
		{ "attach /n --veth eth0:/proc/1/ns/net", CLI_ATTACH, CLI_VETH,
		  "eth0:/proc/1/ns/net", 0 },
		{ "attach /n --veth eth0", CLI_ATTACH, CLI_VETH, "eth0", 0 },
		{ "attach /n --host ipn0 --port 4095", CLI_ATTACH, CLI_PORT, NULL, 4095 },
		{ "attach /n --host ipn0 --descr=", CLI_ATTACH, CLI_DESCR, "", 0 },
		{ "detach /n --port 3", CLI_DETACH, CLI_PORT, NULL, 3 },
		{ "show", CLI_SHOW, CLI_KEYS, NULL, 0 },
		{ "stats /n", CLI_STATS, CLI_PATH, "/n", 0 },
		{ "fdb show /n", CLI_FDB_SHOW, CLI_PATH, "/n", 0 },
		{ "send /n -", CLI_SEND, CLI_FILE, "-", 0 },
		{ "send /n file", CLI_SEND, CLI_FILE, "file", 0 },
		{ "recv /n --hex", CLI_RECV, CLI_HEX, "--hex", 0 },
		{ "recv /n --count 4294967295", CLI_RECV, CLI_COUNT, NULL, 4294967295 },
		{ "recv /n --timeout 2", CLI_RECV, CLI_TIMEOUT, NULL, 2000000000 },
		{ "recv /n --timeout 0.25", CLI_RECV, CLI_TIMEOUT, NULL, 250000000 },
		{ "recv /n --timeout .5", CLI_RECV, CLI_TIMEOUT, NULL, 500000000 },
		{ "recv /n --timeout 0", CLI_RECV, CLI_TIMEOUT, NULL, 0 },
		{ "help net add", CLI_HELP, CLI_SUBTOPIC, "add", 0 },
	};
	struct cli_args args;
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (parse(rows[i].line, &args, text, sizeof(text)) < 0)
			fail_msg("%s: %s", rows[i].line, text);
		assert_ptr_equal(args.command, &cli_commands[rows[i].command]);
		if (rows[i].key == CLI_KEYS)
			continue;
		assert_true(cli_given(&args, rows[i].key));
		if (rows[i].text)
			assert_string_equal(args.value[rows[i].key].text, rows[i].text);
		else
			assert_int_equal(args.value[rows[i].key].number, rows[i].number);
	}
}

static void bad_lines_say_what_is_wrong(void **state)
{
	static const struct {
		const char *line;
		const char *text;
	} rows[] = {
		{ "", "ipn-fabric: what to do is missing" },
		{ "--run-dir /r", "ipn-fabric: what to do is missing" },
		{ "frob", "ipn-fabric: frob: no such command" },
		{ "''", "ipn-fabric: : no such command" },
		{ "--frob up", "ipn-fabric: --frob: unknown option, or before its command" },
		{ "--mtu 9 net add /n",
		  "ipn-fabric: --mtu: unknown option, or before its command" },
		{ "net", "net: what to do is missing (net add, net del, net show)" },
		{ "net frob", "net: frob: no such command" },
		{ "fdb", "fdb: what to do is missing (fdb show)" },
		{ "up now", "up: now: one argument too many" },
		{ "up --frob", "up: --frob: unknown option" },
		{ "up -f", "up: -f: unknown option" },
		{ "up --foreground=yes", "up: --foreground: takes no value" },
		{ "up --foreground --foreground", "up: --foreground: given twice" },
		{ "up --config", "up: --config: needs a value (--config FILE)" },
		{ "up --config --foreground", "up: --config: needs a value (--config FILE)" },
		{ "up --config=", "up: --config \"\": not a file name" },
		{ "down --json", "down: --json: unknown option" },
		{ "--run-dir /a down --run-dir /b", "down: --run-dir: given twice" },
		{ "net add", "net add: PATH is missing" },
		{ "net add ''", "net add: PATH \"\": not a path" },
		{ "net add /a /b", "net add: /b: one argument too many" },
		{ "net add /n --mtu", "net add: --mtu: needs a value (--mtu N)" },
		{ "net add /n --mtu 0", "net add: --mtu 0: not a number from 1 to 65535" },
		{ "net add /n --mtu 65536", "net add: --mtu 65536: not a number from 1 to 65535" },
		{ "net add /n --mtu -1", "net add: --mtu -1: not a number from 1 to 65535" },
		{ "net add /n --mtu 10x", "net add: --mtu 10x: not a number from 1 to 65535" },
		{ "net add /n --mtu ''", "net add: --mtu \"\": not a number from 1 to 65535" },
		{ "net add /n --mtu 4294967297",
		  "net add: --mtu 4294967297: not a number from 1 to 65535" },
		{ "net add /n --nodes 4097", "net add: --nodes 4097: not a number from 1 to 4096" },
		{ "net add /n --pool 65537",
		  "net add: --pool 65537: not a number from 1 to 65536" },
		{ "net add /n --mode 0888",
		  "net add: --mode 0888: not an octal mode from 0 to 0777" },
		{ "net add /n --mode 1777",
		  "net add: --mode 1777: not an octal mode from 0 to 0777" },
		{ "net add /n --policy RING",
		  "net add: --policy RING: no such policy (broadcast, switch, l3, "
		  "or one that was loaded)" },
		{ "net add /n --policy 0",
		  "net add: --policy 0: no such policy (broadcast, switch, l3, "
		  "or one that was loaded)" },
		{ "net del", "net del: PATH or --id is missing" },
		{ "net del /a --id 1", "net del: PATH and --id: only one of them at a time" },
		{ "attach --tap a", "attach: PATH is missing" },
		{ "attach /n", "attach: --tap or --veth or --host or --grab or --xsk or --vde or "
			       "--unix is missing" },
		{ "attach /n --tap a --host b",
		  "attach: --tap and --host: only one of them at a time" },
		{ "attach /n --tap a --tap b", "attach: --tap: given twice" },
		{ "attach /n --tap a/b", "attach: --tap a/b: not an interface name "
					 "(1 to 15 characters, no blank / : or %)" },
		{ "attach /n --tap ..", "attach: --tap ..: not an interface name "
					"(1 to 15 characters, no blank / : or %)" },
		{ "attach /n --host a%d", "attach: --host a%d: not an interface name "
					  "(1 to 15 characters, no blank / : or %)" },
		{ "attach /n --host sixteen-letters-", "attach: --host sixteen-letters-: not an "
						       "interface name (1 to 15 characters, no "
						       "blank / : or %)" },
		{ "attach /n --veth a:", "attach: --veth a:: not NAME or NAME:NETNS (the name has "
					 "1 to 15 characters, no blank / : or %)" },
		{ "attach /n --veth :b", "attach: --veth :b: not NAME or NAME:NETNS (the name has "
					 "1 to 15 characters, no blank / : or %)" },
		{ "attach /n --tap a --port 4096",
		  "attach: --port 4096: not a number from 0 to 4095" },
		{ "attach /n --tap a --port any",
		  "attach: --port any: not a number from 0 to 4095" },
		{ "detach /n", "detach: --port or --vde or --unix is missing" },
		{ "detach --port 1", "detach: PATH is missing" },
		{ "show /a /b", "show: /b: one argument too many" },
		{ "fdb show", "fdb show: PATH is missing" },
		{ "send", "send: PATH is missing" },
		{ "send /n a b", "send: b: one argument too many" },
		{ "send /n --json", "send: --json: unknown option" },
		{ "recv /n --count 0", "recv: --count 0: not a number from 1 to 4294967295" },
		{ "recv /n --timeout -1",
		  "recv: --timeout -1: not a number of seconds from 0 to 1000000000" },
		{ "recv /n --timeout 1e9",
		  "recv: --timeout 1e9: not a number of seconds from 0 to 1000000000" },
		{ "recv /n --timeout .",
		  "recv: --timeout .: not a number of seconds from 0 to 1000000000" },
		{ "recv /n --timeout 99999999999999999999",
		  "recv: --timeout 99999999999999999999: not a number of seconds from 0 to "
		  "1000000000" },
		{ "help a b c", "help: c: one argument too many" },
	};
	struct cli_args args;
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (parse(rows[i].line, &args, text, sizeof(text)) != -EINVAL)
			fail_msg("%s: accepted", rows[i].line);
		assert_string_equal(text, rows[i].text);
	}
}

static void description_may_have_127_bytes(void **state)
{
	char line[256] = "attach /n --tap a --descr ", text[256];
	size_t used = strlen(line);
	struct cli_args args;

	memset(line + used, 'x', IPN_DESCR_MAX);
	assert_int_equal(parse(line, &args, text, sizeof(text)), -EINVAL);
	assert_non_null(strstr(text, "too long, its length in bytes is from 0 to 127"));
	line[used + IPN_DESCR_MAX - 1] = '\0';
	assert_int_equal(parse(line, &args, text, sizeof(text)), 0);
}

static void help_and_version_need_nothing_else(void **state)
{
	static const struct {
		const char *line;
		bool help;
		int command; /* -1: none */
	} rows[] = {
		{ "--help", true, -1 },
		{ "-h", true, -1 },
		{ "net --help", true, -1 },
		{ "net add --help", true, CLI_NET_ADD },
		{ "attach /n --help --frob", true, CLI_ATTACH },
		{ "--version", false, -1 },
		{ "net add --version", false, CLI_NET_ADD },
	};
	struct cli_args args;
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(rows[i].line, &args, text, sizeof(text)), 0);
		assert_int_equal(args.help, rows[i].help);
		assert_int_equal(args.version, !rows[i].help);
		assert_ptr_equal(args.command,
				 rows[i].command < 0 ? NULL : &cli_commands[rows[i].command]);
	}
}

static void message_is_cut_not_overflown(void **state)
{
	char line[200], text[16];
	struct cli_args args;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	memset(text, 1, sizeof(text));
	assert_int_equal(parse(line, &args, text, sizeof(text) - 1), -EINVAL);
	assert_int_equal(strlen(text), sizeof(text) - 2);
	assert_int_equal(text[sizeof(text) - 1], 1);
}

static void directories_option_then_environment_then_default(void **state)
{
	struct cli_args args;
	char text[256];

	unsetenv("IPN_FABRIC_RUN_DIR");
	unsetenv("IPN_FABRIC_BPFFS");
	assert_int_equal(parse("show", &args, text, sizeof(text)), 0);
	assert_string_equal(cli_run_dir(&args), "/run/ipn-fabric");
	assert_string_equal(cli_bpffs(&args), "/sys/fs/bpf");
	setenv("IPN_FABRIC_RUN_DIR", "", 1);
	assert_string_equal(cli_run_dir(&args), "/run/ipn-fabric");
	setenv("IPN_FABRIC_RUN_DIR", "/env", 1);
	setenv("IPN_FABRIC_BPFFS", "/envb", 1);
	assert_string_equal(cli_run_dir(&args), "/env");
	assert_string_equal(cli_bpffs(&args), "/envb");

	assert_int_equal(parse("show --run-dir /opt", &args, text, sizeof(text)), 0);
	assert_string_equal(cli_run_dir(&args), "/opt");
	assert_int_equal(cli_environment(&args), 0);
	assert_string_equal(getenv("IPN_FABRIC_RUN_DIR"), "/opt");
	assert_string_equal(getenv("IPN_FABRIC_BPFFS"), "/envb");
	unsetenv("IPN_FABRIC_RUN_DIR");
	unsetenv("IPN_FABRIC_BPFFS");
}

static void table_rows_are_complete(void **state)
{
	for (size_t i = 0; i < CLI_COMMANDS; i++) {
		const struct cli_command *command = &cli_commands[i];
		size_t n = 0;

		assert_non_null(command->name);
		assert_non_null(command->summary);
		assert_null(command->params[CLI_MAX_PARAMS - 1].help);
		for (; command->params[n].help; n++) {
			const struct cli_param *param = &command->params[n];

			assert_true(param->name || param->arg);
			assert_int_equal(param->arg == NULL, param->type == CLI_TYPE_FLAG);
			assert_true(param->key < CLI_KEYS);
			for (size_t j = 0; j < n; j++)
				assert_int_not_equal(command->params[j].key, param->key);
			for (const struct cli_param *g = cli_globals; g->help; g++)
				assert_int_not_equal(g->key, param->key);
		}
		for (; n < CLI_MAX_PARAMS; n++)
			assert_null(command->params[n].arg);
	}
}

/* What a function prints. */
static const char *printed(void (*print)(FILE *, const struct cli_command *, const char *),
			   const struct cli_command *command, const char *group)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	print(out, command, group);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void help_shows_the_usage_of_the_issue(void **state)
{
	static const struct {
		enum cli_command_id command;
		const char *usage;
	} rows[] = {
		{ CLI_UP, "up [--foreground] [--config FILE] [--netns NAME]\n" },
		{ CLI_NET_ADD, "net add PATH [--policy broadcast|switch|l3|NAME|N] [--mtu N] "
			       "[--nodes N] [--pool N] [--routes N] [--lossless] "
			       "[--mode MODE]\n" },
		{ CLI_ADDR_ADD, "addr add PATH ADDR/LEN --port N [--mtu N]\n" },
		{ CLI_ROUTE_ADD, "route add PATH PREFIX via|port ADDR|N [--port N]\n" },
		{ CLI_NEIGH_SHOW, "neigh show PATH [--json]\n" },
		{ CLI_ATTACH, "attach PATH (--tap NAME | --veth NAME[:NETNS] | --host NAME | "
			      "--grab NAME | --xsk NAME | --vde DIR | --unix FILE) "
			      "[--frames N] [--frame-size B] [--own] [--peer FILE] [--mode MODE] "
			      "[--persist] [--port N] [--descr TEXT] [--json]\n" },
		{ CLI_DETACH, "detach PATH (--port N | --vde DIR | --unix FILE)\n" },
		{ CLI_SEND, "send PATH [FILE]\n" },
		{ CLI_RECV, "recv PATH [--count N] [--timeout S] [--hex] [--json]\n" },
		{ CLI_HELP, "help [COMMAND]\n" },
	};
	char expected[512];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = printed(help_print, &cli_commands[rows[i].command], NULL);

		snprintf(expected, sizeof(expected), "usage: ipn-fabric %s", rows[i].usage);
		assert_ptr_equal(strstr(text, expected), text);
	}
}

static void words_for_the_completion(void **state)
{
	const char *text = printed(help_words, NULL, NULL);

	assert_non_null(strstr(text, "up command\ndown command\nnet command\nattach command\n"));
	assert_non_null(strstr(text, "--run-dir dir\n"));
	text = printed(help_words, NULL, "net");
	assert_ptr_equal(strstr(text, "add command\ndel command\nshow command\n"), text);
	text = printed(help_words, &cli_commands[CLI_NET_ADD], NULL);
	assert_ptr_equal(strstr(text, "PATH network\n--policy policy\n--mtu number\n"), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_keeps_its_arguments),
		cmocka_unit_test(good_lines_give_their_values),
		cmocka_unit_test(bad_lines_say_what_is_wrong),
		cmocka_unit_test(description_may_have_127_bytes),
		cmocka_unit_test(help_and_version_need_nothing_else),
		cmocka_unit_test(message_is_cut_not_overflown),
		cmocka_unit_test(directories_option_then_environment_then_default),
		cmocka_unit_test(table_rows_are_complete),
		cmocka_unit_test(help_shows_the_usage_of_the_issue),
		cmocka_unit_test(words_for_the_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
