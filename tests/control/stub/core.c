// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls: counted, made to fail, and the death of the manager between two of them. */
#include <unistd.h>

#include "kernel.h"

struct stub stub;

/* What was stored into mapped memory before the manager died. */
struct saved {
	struct saved *next;
	__u32 id;
	size_t size;
	__u8 data[];
};

unsigned long stub_calls(void)
{
	return stub.calls;
}

unsigned long stub_changes(void)
{
	return stub.changes;
}

const char *stub_last_change(void)
{
	return stub.last;
}

bool stub_has_failed(void)
{
	return stub.failed;
}

bool stub_dead(void)
{
	return stub.dead;
}

void stub_fail(const char *call, unsigned long n, int err)
{
	util_copy(stub.fail_call, sizeof(stub.fail_call), call ? call : "");
	stub.fail_n = n;
	stub.fail_err = err;
	stub.failed = false;
}

/* The memory that the manager stores into: of the networks, and pages of processes. */
static bool stored_into(const struct obj *o)
{
	return o->kind == OBJ_MAP &&
	       (!strcmp(o->name, "ipn_net_fast") || !strcmp(o->name, "ipn_page"));
}

static void die(void)
{
	struct obj *o, *tmp;

	stub.dead = true;
	stub.dying = false;
	HASH_ITER(by_id, stub.by_id, o, tmp) {
		size_t size = (size_t)o->value_size * o->max;
		struct saved *s;

		if (!stored_into(o))
			continue;
		s = malloc(sizeof(*s) + size);
		if (!s)
			abort();
		s->id = o->id;
		s->size = size;
		memcpy(s->data, map_mem(o), size);
		s->next = stub.saved;
		stub.saved = s;
	}
}

/* A sum of that memory, to see whether something was stored. */
static __u64 memory_sum(void)
{
	struct obj *o, *tmp;
	__u64 sum = 0;

	HASH_ITER(by_id, stub.by_id, o, tmp) {
		const __u64 *word;

		if (!stored_into(o) || (!o->mem && strcmp(o->name, "ipn_net_fast") != 0))
			continue;
		word = (const __u64 *)(void *)map_mem(o);
		for (size_t i = 0; i < (size_t)o->value_size * o->max / sizeof(*word); i++)
			sum = sum * 31 + word[i];
	}
	return sum;
}

void stub_die_after(unsigned long n, bool at_once)
{
	stub.dying = true;
	stub.left = n;
	stub.stored = true; /* if it comes to the end */
	stub.sum = n ? 0 : memory_sum();
	stub.at_once = at_once;
}

bool stub_stored(void)
{
	return stub.stored;
}

void stub_revive(void)
{
	while (stub.saved) {
		struct saved *s = stub.saved;
		struct obj *o;

		HASH_FIND(by_id, stub.by_id, &s->id, sizeof(s->id), o);
		if (o)
			memcpy(map_mem(o), s->data, s->size);
		stub.saved = s->next;
		free(s);
	}
	stub.dead = stub.dying = false;
	stub_reap();
}

int stub_enter(const char *call, bool change)
{
	/* threads come with xsk and ring_buffer functions, which change nothing here */
	__atomic_add_fetch(&stub.calls, 1, __ATOMIC_RELAXED);
	if (stub.dead)
		return EIO;
	if (stub.fail_n && (!stub.fail_call[0] || !strcmp(stub.fail_call, call)) &&
	    !--stub.fail_n) {
		stub.failed = true;
		return stub.fail_err;
	}
	if (!change)
		return 0;
	if (stub.dying && !stub.left) {
		stub.stored = stub.sum != memory_sum();
		die();
		return EIO;
	}
	stub.changes++;
	util_copy(stub.last, sizeof(stub.last), call);
	return 0;
}

void stub_leave(void)
{
	if (!stub.dying || --stub.left)
		return;
	if (stub.at_once)
		die();
	else
		stub.sum = memory_sum();
}

int stub_error(int err)
{
	errno = err;
	return -err;
}

void stub_begin(void)
{
	stub_end();
	stub.next_id = 1;
	stub.next_ifindex = 2;
	stub.watch = -1;
	stub.news_last = &stub.news;
}

void stub_end(void)
{
	struct obj *o, *tmp;

	stub.dead = false;
	while (stub.saved) {
		struct saved *s = stub.saved;

		stub.saved = s->next;
		free(s);
	}
	ifs_clear();
	xsks_clear();
	HASH_ITER(by_id, stub.by_id, o, tmp)
		map_clear(o);
	HASH_ITER(by_id, stub.by_id, o, tmp)
		obj_free(o);
	stub = (struct stub){ .watch = -1 };
}
