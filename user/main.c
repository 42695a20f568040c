// SPDX-License-Identifier: GPL-2.0-or-later
/* The program ipn-fabric: a command line, the manager, the processes that it starts. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "manager/access/asuser_proto.h"
#include "manager/fdstore/protocol.h"
#include "manager/fdstore/store.h"
#include "manager/manager.h"

/*
 * A program may be started with 0 to 2 closed: what it opens next would be its standard input or
 * output. They become what can neither be read nor written, and are closed again for a program that
 * this one becomes.
 */
static bool reserve_standard(void)
{
	int fd;

	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd > STDERR_FILENO && !close(fd);
}

int main(int argc, char *argv[])
{
	static const struct cli_manager manager = {
		.run = manager_run,
		.down_offline = manager_down_offline,
	};

	if (!reserve_standard())
		return 1;
	/* as the manager starts them (fdstore/client.c, access/asuser.c): no commands for people */
	if (argc > 0 && !strcmp(argv[0], FDSTORE_NAME))
		return fdstore_run(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], ASUSER_NAME))
		return asuser_child_run();
	return cli_main(argc, argv, &manager);
}
