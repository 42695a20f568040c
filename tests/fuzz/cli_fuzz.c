// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line: each line of the input is an argument. */
#include "fuzz.h"

#include <errno.h>

#include "cli/cli.h"

#define ARGS_MAX 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char *text = take_text(&in), *next = text, line[256];
	char *argv[ARGS_MAX + 1] = { CLI_PROGRAM };
	struct cli_args args;
	int argc = 1, r;

	while (next && argc < ARGS_MAX) {
		argv[argc++] = next;
		next = strchr(next, '\n');
		if (next)
			*next++ = '\0';
	}
	r = cli_parse(argc, argv, &args, line, sizeof(line));
	CHECK(r == 0 || (r == -EINVAL && line[0] && memchr(line, '\0', sizeof(line))));
	if (!r && !args.help && !args.version)
		CHECK(args.command);
	free(text);
	return 0;
}
