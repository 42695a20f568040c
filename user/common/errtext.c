// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/errtext.h"

#include <stdarg.h>
#include <stdio.h>

void err_text_set(struct errtext *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
}
