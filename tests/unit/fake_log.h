/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log, a page and a bell in plain memory, and a connected descriptor that reads them: what the
 * fabric would write is written by the test, store by store.
 */
#ifndef IPN_TEST_FAKE_LOG_H
#define IPN_TEST_FAKE_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ipn/ipn.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/util.h"
#include "lib/rx.h"
#include "lib/sock.h"

#define FAKE_OWN 7 /* port of the reader */

struct fake_node {
	int fd;
	int peer;
	struct ipn_sock *s;
	uint64_t bell_pos[2]; /* consumer, producer */
	uint8_t bell[4096];
};

static inline size_t fake_log_size(uint32_t log_class, uint32_t slots)
{
	return ((size_t)slots + 1) * ipn_slot_size(log_class);
}

/* Memory that a forked writer shares. */
static inline void *fake_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static inline void fake_log_init(struct rx_log *log, uint32_t log_class, uint32_t slots)
{
	log->map_len = fake_log_size(log_class, slots);
	log->base = fake_alloc(log->map_len);
	log->slot_size = ipn_slot_size(log_class);
	log->mask = slots - 1;
}

static inline struct ipn_log_head *fake_head(const struct rx_log *log)
{
	return (struct ipn_log_head *)log->base;
}

static inline struct ipn_slot *fake_slot(const struct rx_log *log, uint64_t n)
{
	return (struct ipn_slot *)(log->base + (1 + (n & log->mask)) * log->slot_size);
}

/* As the fabric: number, claim, copy, publish. Returns the number. */
static inline uint64_t fake_begin(const struct rx_log *log)
{
	uint64_t n = __atomic_fetch_add(&fake_head(log)->head, 1, __ATOMIC_SEQ_CST);

	__atomic_store_n(&fake_slot(log, n)->seq, (n + 1) | IPN_SEQ_BUSY, __ATOMIC_SEQ_CST);
	return n;
}

static inline void fake_publish(const struct rx_log *log, uint64_t n, uint32_t src,
				const void *data, uint32_t len)
{
	struct ipn_slot *slot = fake_slot(log, n);

	__atomic_store_n(&slot->src, src, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->len, len, __ATOMIC_RELAXED);
	memcpy(slot->data, data, len);
	__atomic_exchange_n(&slot->seq, n + 1, __ATOMIC_SEQ_CST);
}

static inline uint64_t fake_put(const struct rx_log *log, uint32_t src, const void *data,
				uint32_t len)
{
	uint64_t n = fake_begin(log);

	fake_publish(log, n, src, data, len);
	return n;
}

/* The message is its number in the order of the test. */
static inline void fake_put_u32(const struct rx_log *log, uint32_t src, uint32_t value)
{
	fake_put(log, src, &value, sizeof(value));
}

static inline void fake_bell_put(struct fake_node *f, uint32_t type, uint32_t arg)
{
	struct ipn_event event = { type, arg };
	uint8_t *record = f->bell + (f->bell_pos[1] & 2047);
	uint32_t len = sizeof(event);

	memcpy(record, &len, sizeof(len));
	memcpy(record + 8, &event, sizeof(event));
	memcpy(f->bell + ((f->bell_pos[1] + 2048) & 4095), record, 16);
	__atomic_store_n(&f->bell_pos[1], f->bell_pos[1] + 16, __ATOMIC_RELEASE);
}

/* A connected node, without a manager. nodelog_slots 0: a broadcast network. */
static inline void fake_node_init(struct fake_node *f, uint32_t log_class, uint32_t slots,
				  uint32_t nodelog_slots, uint32_t pool)
{
	int pair[2];
	struct rx *rx;

	memset(f, 0, sizeof(*f));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->fd = pair[0];
	f->peer = pair[1];
	assert_int_equal(sock_add(f->fd, IPN_BROADCAST, false), 0);
	assert_int_equal(sock_get(f->fd, &f->s), 0);
	rx = &f->s->rx;
	fake_log_init(&rx->log[RX_NET], log_class, slots);
	if (nodelog_slots)
		fake_log_init(&rx->log[RX_NODE], log_class, nodelog_slots);
	rx->page_len = 4096;
	rx->page = fake_alloc(rx->page_len);
	rx->own = FAKE_OWN;
	rx->pool = pool;
	rx->own_room = slots > pool ? (slots - pool) / 4 * 3 + 1 : 1;
	rx->bell.size = 2048;
	rx->bell.consumer = &f->bell_pos[0];
	rx->bell.producer = &f->bell_pos[1];
	rx->bell.data = f->bell;
	f->s->tap = open("/dev/null", O_RDWR | O_CLOEXEC);
	f->s->mtu = 1514;
	__atomic_store_n(&f->s->state, SOCK_CONNECTED, __ATOMIC_RELEASE);
}

static inline void fake_node_end(struct fake_node *f)
{
	if (f->s->rx.bell.consumer == &f->bell_pos[0]) {
		f->s->rx.bell.consumer = NULL;
		f->s->rx.bell.producer = NULL;
	}
	sock_put(f->s);
	ipn_close(f->fd);
	close(f->peer);
}

#endif
