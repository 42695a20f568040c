// SPDX-License-Identifier: GPL-2.0-or-later
/* What the manager logs is of no interest, unless somebody asks for it: IPN_TEST_LOG=1. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void log_line(int priority, const char *fmt, ...)
{
	va_list ap;

	if (!getenv("IPN_TEST_LOG"))
		return;
	va_start(ap, fmt);
	fprintf(stderr, "<%d> ", priority);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

void log_to_syslog(void)
{
}
