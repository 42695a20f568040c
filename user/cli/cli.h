/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of ipn-fabric as data: one table of commands, each with its parameters. The
 * parser (parse.c), the help (help.c) and the shell completion all read it.
 */
#ifndef IPN_CLI_H
#define IPN_CLI_H

#include <ipn/abi.h>
#include <ipn/policy_abi.h>
#include <stdbool.h>
#include <stddef.h>

struct manager_opts;

#define CLI_PROGRAM "ipn-fabric"

/* Exit statuses. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

enum cli_command_id {
	CLI_UP,
	CLI_DOWN,
	CLI_NET_ADD,
	CLI_NET_DEL,
	CLI_NET_SHOW,
	CLI_ATTACH,
	CLI_DETACH,
	CLI_CABLE,
	CLI_UNCABLE,
	CLI_PERSIST,
	CLI_SHOW,
	CLI_STATS,
	CLI_FDB_SHOW,
	CLI_MONITOR,
	CLI_POLICY_LOAD,
	CLI_QUOTA_SHOW,
	CLI_POLICY_LIST,
	CLI_POLICY_UNLOAD,
	CLI_ADDR_ADD,
	CLI_ADDR_DEL,
	CLI_ADDR_SHOW,
	CLI_ROUTE_ADD,
	CLI_ROUTE_DEL,
	CLI_ROUTE_SHOW,
	CLI_ROUTE_LOAD,
	CLI_NEIGH_ADD,
	CLI_NEIGH_DEL,
	CLI_NEIGH_SHOW,
	CLI_SEND,
	CLI_RECV,
	CLI_RUN,
	CLI_HELP,
	CLI_COMMANDS,
};

/* What a parameter sets: the index of its value. */
enum cli_key {
	CLI_RUN_DIR,
	CLI_BPFFS,
	CLI_HELP_FLAG,
	CLI_VERSION,
	CLI_JSON,
	CLI_PATH,
	CLI_PATH2,
	CLI_FILE,
	CLI_FOREGROUND,
	CLI_CONFIG,
	CLI_NETNS,
	CLI_POLICY,
	CLI_NUMBER,
	CLI_ID,
	CLI_NAME,
	CLI_MTU,
	CLI_NODES,
	CLI_LOSSLESS,
	CLI_POOL,
	CLI_MODE,
	CLI_TAP,
	CLI_VETH,
	CLI_HOST,
	CLI_GRAB,
	CLI_XSK,
	CLI_FRAMES,
	CLI_FRAME_SIZE,
	CLI_OWN,
	CLI_STAYS,
	CLI_VDE,
	CLI_UNIX,
	CLI_PEER,
	CLI_PORT,
	CLI_PORT2,
	CLI_OFF,
	CLI_DESCR,
	CLI_COUNT,
	CLI_TIMEOUT,
	CLI_HEX,
	CLI_ROUTES,
	CLI_ADDRESS,
	CLI_MAC,
	CLI_WORD,
	CLI_VALUE,
	CLI_RUN_PROGRAM,
	CLI_TOPIC,
	CLI_SUBTOPIC,
	CLI_WORDS,
	CLI_KEYS,
};

enum cli_type {
	CLI_TYPE_FLAG,
	CLI_TYPE_TEXT,    /* not longer than max, if max is set */
	CLI_TYPE_NETWORK, /* path of a network */
	CLI_TYPE_FILE,
	CLI_TYPE_DIR,
	CLI_TYPE_NETNS,   /* name of a network namespace */
	CLI_TYPE_NUMBER,  /* min to max */
	CLI_TYPE_SECONDS, /* min to max, with a decimal fraction; the value is in nanoseconds */
	CLI_TYPE_MODE,
	CLI_TYPE_POLICY, /* a name or a number */
	CLI_TYPE_IFNAME,
	CLI_TYPE_VETH,    /* interface name, or name:netns */
	CLI_TYPE_PROGRAM, /* of the host */
	CLI_TYPE_COMMAND, /* words of the name of a command */
	CLI_TYPES,
};

#define CLI_REQUIRED 1
#define CLI_ONE_OF 2 /* exactly one of the parameters of the command marked so is given */
#define CLI_HIDDEN 4 /* for scripts: not in the help */
#define CLI_REST 8   /* by position: it and all that follows are left as they are, in args->rest */

struct cli_param {
	enum cli_key key;
	const char *name; /* "--mtu", or NULL: by position */
	const char *arg;  /* what its argument is called; NULL: it has none */
	enum cli_type type;
	__u32 min, max;
	unsigned int flags;
	const char *help;
};

#define CLI_MAX_PARAMS 20 /* a row without help ends them: there is always one */

struct cli_command {
	const char *name;    /* one word, or "group word" */
	const char *summary; /* one line of the list of commands */
	const char *text;    /* what its help says besides */
	struct cli_param params[CLI_MAX_PARAMS];
};

extern const struct cli_command cli_commands[CLI_COMMANDS];
extern const struct cli_param cli_globals[CLI_MAX_PARAMS];

struct cli_value {
	const char *text; /* NULL: not given */
	__u64 number;
};

struct cli_args {
	const struct cli_command *command; /* NULL: --version or the general --help */
	const char *group; /* first word of the command when no command was recognised; or NULL */
	struct cli_value value[CLI_KEYS];
	char *const *rest; /* CLI_REST: ends with NULL */
	bool help;         /* --help: the rest was not looked at */
	bool version;
};

static inline bool cli_given(const struct cli_args *args, enum cli_key key)
{
	return args->value[key].text != NULL;
}

/*
 * Reads a command line. Returns 0, or -EINVAL with one line in `text` that says what is wrong with
 * which argument; args->command and args->group are then as far as it came.
 */
int cli_parse(int argc, char *const argv[], struct cli_args *args, char *text, size_t text_size);

/* A command by its words (the second may be NULL), or NULL. */
const struct cli_command *cli_command_find(const char *word, const char *second);
/* Is it the first word of commands of two words? */
bool cli_is_group(const char *word);

static inline enum cli_command_id cli_command_id(const struct cli_command *command)
{
	return (enum cli_command_id)(command - cli_commands);
}

/* The directories in force: option, environment, default. Never NULL. */
const char *cli_run_dir(const struct cli_args *args);
const char *cli_bpffs(const struct cli_args *args);
/* Makes the environment say the same, for libipn. Returns 0, or -errno. */
int cli_environment(const struct cli_args *args);

/* What of the manager the command line starts by itself: handed to it by who runs both. */
struct cli_manager {
	int (*run)(const struct manager_opts *opts);          /* up */
	int (*down_offline)(const struct manager_opts *opts); /* down, when no manager runs */
};
extern const struct cli_manager *cli_manager;

/* The command line. Returns the exit status. */
int cli_main(int argc, char *argv[], const struct cli_manager *manager);

#endif
