// SPDX-License-Identifier: GPL-2.0-or-later
/* The fdstore hears packets that no manager of this version sends, and answers. */
#include "fuzz.h"

#include "../../user/manager/fdstore/store.c" // NOLINT(bugprone-suspicious-include)

#define PACKETS 24

static const __u32 slots[] = {
	0, 1, IPN_MAX_NODES, FDSTORE_NET(0), FDSTORE_SLOTS - 1, FDSTORE_SLOTS
};

/* A packet that is right but for what the input says. Returns its length. */
static size_t message_make(struct input *in, struct fdstore_msg *msg, unsigned int *nfds)
{
	uint8_t odd = take8(in), at;

	*msg = (struct fdstore_msg){ .magic = FDSTORE_MAGIC,
				     .version = FDSTORE_VERSION,
				     .op = odd & 7,
				     .slot = slots[take8(in) % ARRAY_SIZE(slots)],
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

static void read_all(int fd)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS];

	while (!fdstore_recv(fd, &msg, fds))
		fdstore_close(fds);
}

static void store_end(struct store *k)
{
	for (__u32 slot = 0; k->used && slot < FDSTORE_SLOTS; slot++)
		slot_clear(k, slot);
	CHECK(!k->used);
	while (k->gone) {
		struct entry *e = k->gone;

		k->gone = e->next;
		fdstore_close(e->fds);
		free(e);
	}
	k->gone_last = &k->gone;
	manager_left(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store k = { .fd = -1, .listen_fd = -1 };
	struct input in = { data, size };
	int before = open_fds(), ends[2], r = 0;

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
	k.fd = ends[0];
	k.gone_last = &k.gone;
	for (int i = 0; !r && in.left && i < PACKETS; i++) {
		struct fdstore_msg msg;
		unsigned int nfds;
		size_t len = message_make(&in, &msg, &nfds);

		send_with_fds(ends[1], &msg, len < sizeof(msg) ? len : sizeof(msg), nfds);
		if (take8(&in) & 1)
			continue; /* it hears several in one turn */
		r = hear(&k, TURN);
		r = r == -EAGAIN ? answer(&k) : r;
		r = r == -EAGAIN ? 0 : r;
		read_all(ends[1]);
	}
	close(ends[1]);
	store_end(&k);
	CHECK(open_fds() == before);
	return 0;
}
