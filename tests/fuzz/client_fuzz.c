// SPDX-License-Identifier: GPL-2.0-or-later
/* libipn reads the replies of a manager that lies: a packet, its descriptors, and room for less. */
#include "fuzz.h"

#include "../../user/lib/client.c" // NOLINT(bugprone-suspicious-include)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct ipn_ctl_hdr sent = { .magic = IPN_CTL_MAGIC, .version = IPN_CTL_VERSION };
	unsigned int nfds = take8(&in) % 13;
	size_t room = take8(&in);
	struct client_call call = { .type = take8(&in),
				    .reply = malloc(room + 1),
				    .reply_size = room };
	static char buf[IPN_CTL_MAX_PACKET];
	int before = open_fds(), ends[2];
	ssize_t n;
	int r;

	/* the header is right more often than chance would have it */
	sent.type = (__u16)call.type;
	sent.id = take32(&in);
	CHECK(call.reply && !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	send_with_fds(ends[1], in.at, in.left, nfds);
	close(ends[1]);
	n = client_receive(ends[0], &call, buf, sizeof(buf));
	r = n < 0 ? (int)n : client_judge(sent.id, &call, buf, (size_t)n);
	CHECK(r <= 0 && r >= -4095 && call.reply_len <= room);
	CHECK(memchr(call.text, '\0', sizeof(call.text)));
	client_close_fds(&call);
	close(ends[0]);
	free(call.reply);
	CHECK(open_fds() == before);
	return 0;
}
