// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool to_syslog;

/* seccomp: manager: socket connect sendto */
void log_to_syslog(void)
{
	openlog("ipn-fabric", LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

void log_line(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (to_syslog) {
		vsyslog(priority, fmt, ap);
	} else {
		fputs("ipn-fabric: ", stderr);
		vfprintf(stderr, fmt, ap);
		fputc('\n', stderr);
	}
	va_end(ap);
}
