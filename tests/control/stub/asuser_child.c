// SPDX-License-Identifier: GPL-2.0-or-later
/* The real user/manager/access/asuser_child.c, which can also serve as a thread (asuser.c). */
#include "kernel.h"
#include "manager/access/asuser_proto.h"

static __thread int served = ASUSER_FD;
#undef ASUSER_FD
#define ASUSER_FD served
#include "../../../user/manager/access/asuser_child.c" // NOLINT(bugprone-suspicious-include)

void asuser_serve(int fd)
{
	struct asuser_hello hello;
	int fds[ASUSER_ID_FDS], r;

	served = fd;
	umask(0);
	r = receive(&hello, sizeof(hello), fds, ASUSER_ID_FDS);
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		util_close_fd(&fds[i]);
	if (!r)
		r = reply(&hello, sizeof(hello), -1);
	while (!r)
		r = job_do();
}
