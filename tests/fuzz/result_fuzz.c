// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the process that loaded a policy sends to the manager: it has read a hostile file, so it may
 * be anybody by now.
 */
#include "fuzz.h"

#include "../../user/manager/policies/loader.c" // NOLINT(bugprone-suspicious-include)

static const char *const names[] = { "xdp",          "tc",   "sk",        "map_a",
				     "call_newport", "map_", "../escape", "map_a/b" };

/* A whole result, mended by what the input says, or the bytes themselves. */
static size_t result_make(struct input *in, struct result *result)
{
	size_t raw = in->left < sizeof(*result) ? in->left : sizeof(*result);

	memset(result, 0, sizeof(*result));
	if (take8(in) & 1) {
		take(in, result, raw);
		return raw;
	}
	result->err = -(int)take8(in) % 3;
	result->nobjects = take8(in);
	for (size_t i = 0; i < OBJECTS_MAX && in->left; i++) {
		uint8_t at = take8(in);

		if (at < ARRAY_SIZE(names))
			util_copy(result->names[i], OBJECT_NAME_MAX, names[at]);
		else
			take(in, result->names[i], at % (OBJECT_NAME_MAX + 1));
	}
	return sizeof(*result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int nsent = take8(&in) % (OBJECTS_MAX + 2), nfds = 0;
	static struct result result, got;
	size_t len = result_make(&in, &result);
	int before = open_fds(), ends[2], fds[OBJECTS_MAX];
	struct loading l = { .pid = 0 };
	struct errtext e = { "" };

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	send_with_fds(ends[1], &result, len, nsent);
	close(ends[1]);
	l.in = ends[0];
	if (!child_result(&l, &got, fds, &nfds, &e)) {
		CHECK(nfds == got.nobjects);
		for (__u32 i = 0; i < nfds; i++)
			CHECK(!strpbrk(got.names[i], "/.") && got.names[i][0]);
	}
	CHECK(memchr(e.text, '\0', sizeof(e.text)));
	while (nfds)
		close(fds[--nfds]);
	close(ends[0]);
	CHECK(open_fds() == before);
	return 0;
}
