/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in a message for the policy `script`, behind an Ethernet header with a tag. */
#ifndef IPN_TEST_SCRIPT_H
#define IPN_TEST_SCRIPT_H

#include <linux/types.h>

#define SCRIPT_AT 18
#define SCRIPT_ROOM 16

enum script_verdict { SCRIPT_NONE, SCRIPT_FLOOD, SCRIPT_PORT, SCRIPT_DROP };
struct script {
	__u64 first;  /* ports that get the message as it is */
	__u64 second; /* and then as rewritten */
	__u32 len;    /* rewritten: how long it is then; 0: not rewritten */
	__u16 before; /* rewritten: so many 'R' before it; 0: its first byte becomes one */
	__u8 verdict; /* in the end; FLOOD and PORT are of the message as it is then */
	__u8 arg;
};

#endif
