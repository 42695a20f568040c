// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nothing is given up: a child's kernel is the one in this process's memory, whose descriptors and
 * files it needs. tests/unit/powers_test.c and tests/e2e/powers.sh are about the real ones.
 */
#include "manager/access/powers.h"

int powers_reduce(enum powers_kind kind, struct errtext *e)
{
	(void)kind;
	(void)e;
	return 0;
}

int powers_isolate(struct errtext *e)
{
	(void)e;
	return 0;
}

int powers_close_others(int *fds, size_t n)
{
	(void)fds;
	(void)n;
	return 0;
}
