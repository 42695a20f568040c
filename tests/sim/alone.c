// SPDX-License-Identifier: GPL-2.0-or-later
/* Processes of the simulation do not fork: of user/lib/share.c nothing is ever called. */
#include <stdlib.h>

#include "lib/share.h"

int share_number(struct ipn_sock *s)
{
	abort();
}

int share_enter(struct ipn_sock *s)
{
	abort();
}

void share_publish(struct ipn_sock *s)
{
	abort();
}

bool share_tend(struct ipn_sock *s)
{
	abort();
}

int share_watch(struct rx_bell *bell)
{
	abort();
}

void share_hush(struct rx_bell *bell)
{
	abort();
}

void share_consumed(struct rx_bell *bell)
{
	abort();
}

void share_alarm(struct rx_bell *bell)
{
	abort();
}
