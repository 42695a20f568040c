// SPDX-License-Identifier: GPL-2.0-or-later
/* The program ipn-fabric: a command line, the manager, the processes that it starts. */
#include <string.h>

#include "cli/cli.h"
#include "manager/access/asuser_proto.h"
#include "manager/fdstore/protocol.h"
#include "manager/fdstore/store.h"
#include "manager/manager.h"

int main(int argc, char *argv[])
{
	static const struct cli_manager manager = {
		.run = manager_run,
		.down_offline = manager_down_offline,
	};

	/* as the manager starts them (fdstore/client.c, access/asuser.c): no commands for people */
	if (argc > 0 && !strcmp(argv[0], FDSTORE_NAME))
		return fdstore_run(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], ASUSER_NAME))
		return asuser_child_run();
	return cli_main(argc, argv, &manager);
}
