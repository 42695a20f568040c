// SPDX-License-Identifier: GPL-2.0-or-later
/* What stands in a message. Not compiled as the product is: to look at one is no yield point. */
#include "world.h"

#include <string.h>

static void mac_of(uint8_t *mac, int proc)
{
	static const uint8_t prefix[] = { 2, 0, 0, 0, 0 };

	if (proc < 0) {
		memset(mac, 0xff, 6);
		return;
	}
	memcpy(mac, prefix, sizeof(prefix));
	mac[5] = (uint8_t)(1 + proc);
}

/* An Ethernet frame: the sender, the number of the message, then bytes that follow from these. */
uint32_t message_make(uint8_t *to, int proc, int message)
{
	const struct message *m = &world.proc[proc].message[message];

	mac_of(to, m->to);
	mac_of(to + 6, proc);
	to[12] = 0x88;
	to[13] = 0xb5;
	to[14] = (uint8_t)proc;
	to[15] = (uint8_t)message;
	for (uint32_t i = HEADER + 2; i < m->len; i++)
		to[i] = (uint8_t)(proc * 67 + message * 29 + (int)i * 3 + 1);
	return m->len;
}

bool message_of(const uint8_t *data, size_t len, int *proc, int *message)
{
	uint8_t whole[MSG_LEN_MAX];

	if (len < HEADER + 2)
		return false;
	*proc = data[HEADER];
	*message = data[HEADER + 1];
	if (*proc >= world.procs || *message >= world.proc[*proc].messages ||
	    len != world.proc[*proc].message[*message].len)
		return false;
	message_make(whole, *proc, *message);
	return !memcmp(whole, data, len);
}
