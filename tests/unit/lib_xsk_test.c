/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rings of an AF_XDP socket: what may be written and read, at every place of the indices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/xsk_ring.h"

#define SIZE 8

static __u32 producer, consumer;
static __u64 entries[SIZE];

/* Both ends of one ring, their indices at `at`. */
static struct xsk_ring ring_at(__u32 at)
{
	producer = consumer = at;
	return (struct xsk_ring){ .producer = &producer,
				  .consumer = &consumer,
				  .entries = entries,
				  .size = SIZE,
				  .at = at,
				  .seen = at };
}

static const __u32 starts[] = {
	0, 1, SIZE - 1, SIZE, 1000, UINT32_MAX - SIZE, UINT32_MAX - 3, UINT32_MAX
};
#define EACH_START(at)                                                     \
	for (size_t _i = 0; _i < sizeof(starts) / sizeof(starts[0]); _i++) \
		for (__u32 at = starts[_i], _once = 1; _once; _once = 0)

static void an_empty_ring_has_room_for_its_size(void **state)
{
	(void)state;
	EACH_START(at)
	{
		struct xsk_ring r = ring_at(at);

		assert_int_equal(ring_room(&r, 1), 1);
		assert_int_equal(ring_room(&r, SIZE), SIZE);
		assert_int_equal(ring_room(&r, 10 * SIZE), SIZE);
		assert_int_equal(ring_room(&r, 0), 0);
	}
}

static void a_full_ring_has_room_when_the_reader_has_moved(void **state)
{
	(void)state;
	EACH_START(at)
	{
		struct xsk_ring r = ring_at(at);

		ring_submit(&r, SIZE);
		assert_int_equal(producer, (__u32)(at + SIZE));
		assert_int_equal(ring_room(&r, 1), 0);
		consumer += 3;
		assert_int_equal(ring_room(&r, SIZE), 3);
		ring_submit(&r, 3);
		assert_int_equal(ring_room(&r, 1), 0);
		consumer += SIZE;
		assert_int_equal(ring_room(&r, SIZE), SIZE);
	}
}

static void a_reader_sees_what_was_submitted_and_no_more(void **state)
{
	(void)state;
	EACH_START(at)
	{
		struct xsk_ring r = ring_at(at);

		assert_int_equal(ring_avail(&r, SIZE), 0);
		producer += 5;
		assert_int_equal(ring_avail(&r, 2), 2);
		assert_int_equal(ring_avail(&r, SIZE), 5);
		ring_release(&r, 2);
		assert_int_equal(consumer, (__u32)(at + 2));
		assert_int_equal(ring_avail(&r, SIZE), 3);
		producer += 5;
		assert_int_equal(ring_avail(&r, SIZE), SIZE);
		ring_release(&r, SIZE);
		assert_int_equal(ring_avail(&r, 1), 0);
	}
}

static void entries_come_out_in_the_order_they_went_in(void **state)
{
	(void)state;
	EACH_START(at)
	{
		struct xsk_ring in = ring_at(at), out = ring_at(at);
		__u64 next_in = 0, next_out = 0;

		for (int round = 0; round < 100; round++) {
			__u32 n = ring_room(&in, 1 + (__u32)round % SIZE);

			for (__u32 i = 0; i < n; i++)
				entries[ring_index(&in, i)] = next_in++;
			ring_submit(&in, n);
			n = ring_avail(&out, 1 + (__u32)round % 3);
			for (__u32 i = 0; i < n; i++)
				assert_int_equal(entries[ring_index(&out, i)], next_out++);
			ring_release(&out, n);
			assert_true(next_in - next_out <= SIZE);
		}
		assert_true(next_out > 100);
	}
}

static void an_index_that_cannot_be_is_no_room_and_nothing_to_read(void **state)
{
	static const __u32 lies[] = { 1, SIZE + 1, 1U << 16, 1U << 31 };

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct xsk_ring r = ring_at(100);

		ring_submit(&r, SIZE);
		consumer = r.at + lies[i]; /* ahead of the writer, or far behind */
		assert_int_equal(ring_room(&r, SIZE), 0);
		assert_int_equal(ring_room(&r, 1), 0);
		r = ring_at(100);
		if (lies[i] <= SIZE)
			continue;
		producer = r.at + lies[i];
		assert_int_equal(ring_avail(&r, SIZE), 0);
		producer = r.at + 2; /* and it goes on when it is right again */
		assert_int_equal(ring_avail(&r, SIZE), 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_ring_has_room_for_its_size),
		cmocka_unit_test(a_full_ring_has_room_when_the_reader_has_moved),
		cmocka_unit_test(a_reader_sees_what_was_submitted_and_no_more),
		cmocka_unit_test(entries_come_out_in_the_order_they_went_in),
		cmocka_unit_test(an_index_that_cannot_be_is_no_room_and_nothing_to_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
