// SPDX-License-Identifier: GPL-2.0-or-later
/* What VDE clients may send, and what they may not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/ports/vde_proto.h"

static unsigned char packet[VDE_REQUEST_MAX + 64];

static size_t make(__u32 magic, __u32 version, __u32 type, const char *path, const char *descr)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	__u32 head[3] = { magic, version, type };
	size_t n = strlen(descr);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	memset(packet, 0xaa, sizeof(packet));
	memcpy(packet, head, sizeof(head));
	memcpy(packet + sizeof(head), &addr, sizeof(addr));
	memcpy(packet + VDE_REQUEST_MIN, descr, n); /* NOLINT: it need not end */
	return VDE_REQUEST_MIN + n;
}

static void request_has_path_port_and_description(void **state)
{
	struct vde_request q;
	size_t n = make(VDE_MAGIC, 3, 7 << 8, "/tmp/x", "who\n\x01");

	(void)state;
	assert_int_equal(vde_request_parse(packet, n, &q), 0);
	assert_int_equal(q.port, 7);
	assert_string_equal(q.addr.sun_path, "/tmp/x");
	assert_int_equal(q.addr_len, offsetof(struct sockaddr_un, sun_path) + 7);
	assert_string_equal(q.descr, "who??");
	n = make(VDE_MAGIC, 3, 0, "/tmp/x", "");
	assert_int_equal(vde_request_parse(packet, n, &q), 0);
	assert_int_equal(q.port, 0);
	assert_string_equal(q.descr, "");
}

static void description_is_cut_to_what_there_is_room_for(void **state)
{
	struct vde_request q;
	size_t n = make(VDE_MAGIC, 3, 0, "/tmp/x", "");

	(void)state;
	memset(packet + n, 'd', VDE_REQUEST_MAX + 64 - n);
	assert_int_equal(vde_request_parse(packet, sizeof(packet), &q), 0);
	assert_int_equal(strlen(q.descr), IPN_DESCR_MAX - 1);
}

static void other_protocols_are_known_by_their_first_bytes(void **state)
{
	struct vde_request q;

	(void)state;
	make(0x12345678, 3, 0, "/tmp/x", "");
	for (size_t n = 0; n <= VDE_REQUEST_MIN; n++)
		assert_int_equal(vde_request_parse(packet, n, &q), n < 4 ? -EAGAIN : -EBADMSG);
	make(VDE_MAGIC, 2, 0, "/tmp/x", "");
	for (size_t n = 0; n <= VDE_REQUEST_MIN; n++)
		assert_int_equal(vde_request_parse(packet, n, &q), n < 8 ? -EAGAIN : -EPROTO);
	make(VDE_MAGIC, 3, 1, "/tmp/x", "");
	for (size_t n = 0; n <= VDE_REQUEST_MIN; n++)
		assert_int_equal(vde_request_parse(packet, n, &q), n < 12 ? -EAGAIN : -EOPNOTSUPP);
	make(VDE_MAGIC, 3, 0, "/tmp/x", "");
	for (size_t n = 0; n < VDE_REQUEST_MIN; n++)
		assert_int_equal(vde_request_parse(packet, n, &q), -EAGAIN);
}

static void names_that_are_none_are_refused(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct vde_request q;
	size_t n;

	(void)state;
	n = make(VDE_MAGIC, 3, 0, "relative", "");
	assert_int_equal(vde_request_parse(packet, n, &q), -EINVAL);
	n = make(VDE_MAGIC, 3, 0, "", "");
	assert_int_equal(vde_request_parse(packet, n, &q), -EINVAL);
	memset(addr.sun_path, '/', sizeof(addr.sun_path));
	memcpy(packet + 12, &addr, sizeof(addr));
	assert_int_equal(vde_request_parse(packet, n, &q), -EINVAL);
	n = make(VDE_MAGIC, 3, 0, "/tmp/x", "");
	addr.sun_family = AF_INET;
	memcpy(packet + 12, &addr.sun_family, sizeof(addr.sun_family));
	assert_int_equal(vde_request_parse(packet, n, &q), -EINVAL);
}

static void abstract_names_are_as_long_as_they_can_be(void **state)
{
	struct vde_request q;
	size_t n = make(VDE_MAGIC, 3, 0, "", "");

	(void)state;
	packet[12 + 2 + 1] = 1; /* as user-mode-linux makes them */
	assert_int_equal(vde_request_parse(packet, n, &q), 0);
	assert_int_equal(q.addr_len, sizeof(struct sockaddr_un));
}

/*
 * A request that was right, with bytes changed and its end cut off, right before a page that nobody
 * may read: what comes of it is as documented, and nothing behind the packet was looked at.
 */
static void any_bytes_are_a_request_or_refused(void **state)
{
	static const char *const paths[] = { "/tmp/x", "", "x", "/tmp/a/longer/path/of/a/client" };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 random = 88172645463325252ULL;
	int right = 0, wrong = 0;

	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	for (int i = 0; i < 300000; i++) {
		struct vde_request q;
		size_t n = make(VDE_MAGIC, 3, 7 << 8, paths[i % 4], "descr");
		char *at;
		int r;

		for (int change = i / 4 % 4; change; change--) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			packet[random % sizeof(packet)] = (unsigned char)(random >> 32);
		}
		n = i % 3 ? n : random % (sizeof(packet) + 1);
		at = map + page - n;
		memcpy(at, packet, n);
		r = vde_request_parse(at, n, &q);
		if (r) {
			assert_true(r == -EAGAIN || r == -EBADMSG || r == -EPROTO ||
				    r == -EOPNOTSUPP || r == -EINVAL);
			assert_true(r != -EAGAIN || n < VDE_REQUEST_MIN);
			wrong++;
			continue;
		}
		right++;
		assert_true(n >= VDE_REQUEST_MIN && q.port < 1U << 24);
		assert_ptr_not_equal(memchr(q.descr, '\0', sizeof(q.descr)), NULL);
		assert_in_range(q.addr_len, sizeof(sa_family_t) + 2, sizeof(q.addr));
		if (q.addr.sun_path[0]) {
			assert_int_equal(q.addr.sun_path[0], '/');
			assert_int_equal(strlen(q.addr.sun_path) + 1 + sizeof(sa_family_t),
					 q.addr_len);
		}
	}
	assert_true(right > 1000 && wrong > 1000);
	munmap(map, 2 * page);
}

static void reply_holds_every_path_that_fits(void **state)
{
	struct sockaddr_un addr;
	char path[sizeof(addr.sun_path) + 1];

	(void)state;
	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(vde_reply_make(path, &addr), -ENAMETOOLONG);
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(vde_reply_make(path, &addr), 0);
	assert_string_equal(addr.sun_path, path);
	assert_int_equal(addr.sun_family, AF_UNIX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_has_path_port_and_description),
		cmocka_unit_test(description_is_cut_to_what_there_is_room_for),
		cmocka_unit_test(other_protocols_are_known_by_their_first_bytes),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(abstract_names_are_as_long_as_they_can_be),
		cmocka_unit_test(any_bytes_are_a_request_or_refused),
		cmocka_unit_test(reply_holds_every_path_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
