// SPDX-License-Identifier: GPL-2.0-or-later
/* The manager takes over what an fdstore says that it has, and hears it afterwards. */
#include "fuzz.h"

#include "../../user/manager/fdstore/client.c" // NOLINT(bugprone-suspicious-include)

#include "manager/access/asuser.h"

#define PACKETS 16

static size_t message_make(struct input *in, struct fdstore_msg *msg, unsigned int *nfds)
{
	uint8_t odd = take8(in), at;

	*msg = (struct fdstore_msg){ .magic = FDSTORE_MAGIC,
				     .version = FDSTORE_VERSION,
				     .op = FDSTORE_ENTRY + (odd & 3),
				     .slot = take8(in),
				     .gen = take8(in) & 1,
				     .nfds = (odd >> 3) & 7 };
	*nfds = msg->nfds;
	if (odd & 0x40) {
		at = take8(in);
		take(in, (char *)msg + at % sizeof(*msg),
		     at % 9 < sizeof(*msg) - at % sizeof(*msg) ? at % 9 : 1);
		*nfds = take8(in) % 8;
	}
	return odd & 0x80 ? take8(in) : sizeof(*msg);
}

static void on_rest(void *arg, struct fdstore_entry *e)
{
	struct asuser_id *id;

	(void)arg;
	CHECK(e->msg.slot < FDSTORE_SLOTS && memchr(e->msg.file, '\0', FDSTORE_FILE_MAX));
	/* as a listener's: whoever opened it */
	if (!asuser_id_from(e->fds, &id))
		asuser_id_unref(id);
	fdstore_close(e->fds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	int before = open_fds(), ends[2];
	struct fdstore *fs;
	__u8 heard = take8(&in);

	CHECK(!fdstore_new(&fs, -1, "/", 0));
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
	fs->fd = ends[0];
	for (int i = 0; in.left && i < PACKETS; i++) {
		struct fdstore_msg msg;
		unsigned int nfds;
		size_t len = message_make(&in, &msg, &nfds);

		send_with_fds(ends[1], &msg, len < sizeof(msg) ? len : sizeof(msg), nfds);
	}
	shutdown(ends[1], SHUT_WR);
	if (!(heard & 1))
		found_all(fs);
	hear(fs);
	for (__u32 slot = 0; slot < 8; slot++) {
		struct fdstore_entry *e = fdstore_find(fs, slot, heard >> 1 & 1);

		if (e && heard & 4) {
			e->taken = true;
			fdstore_close(e->fds);
		}
	}
	fdstore_rest(fs, on_rest, NULL);
	fdstore_free(fs);
	close(ends[1]);
	CHECK(open_fds() == before);
	return 0;
}
