// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What must hold.
 *
 *   at each number   LOSSLESS: no more than the pool is pending in that log, counted with the
 *                    cursors that readers have, not those that they have told
 *   at each message  it is published once, whole, and in the order in which its thread sent
 *   received         whole, published, not one's own, once, in the order of the numbers; what was
 *                    passed over was more than the pool behind (LOSSY) or there is no such thing
 *                    (LOSSLESS); LOSSY: what is received is not more than the pool behind
 *   all at rest      nobody sleeps who has a message, or waits for room where there is some;
 *                    who is armed has its sleep bit, and sleep_any says so
 *   another log      all of the above holds for a network's logs together, and nobody takes a
 *                    number of one that is complete
 *   at the end       sent = published + drops with a name; every reader has all that was published
 *                    for it, or counted it as lost; the maps are what the manager thinks
 *
 * Nothing here is a yield point. A task's own stores may be ahead of what others see: what is
 * looked at then is changed by locked operations only, or is the task's own.
 */
#include "world.h"

#include <string.h>

#include "core/maps.h"

#include "lib/follow.h"

static int last_message[SIM_TASKS][1 + PROCS];

void check_begin(void)
{
	memset(last_message, 0xff, sizeof(last_message));
	sim_on_atomic = check_atomic;
}

static bool listens(const struct proc *p)
{
	const struct ipn_port_out *dest;

	/* while another takes its place in port_out, that has something of both */
	if (!p->node || p->left)
		return false;
	dest = kernel_peek(&ipn_port_out, PORT_BASE + p->port);
	return dest->kind == IPN_KIND_PROC && dest->gen == p->gen && dest->flags & IPN_PF_READER;
}

/* There is no reason for it to miss anything. */
static bool well(const struct proc *p)
{
	return p->joined && !p->killed && !p->left && !p->kicked && !p->shut;
}

static bool sends(const struct proc *p)
{
	return p->role & (ROLE_SEND | ROLE_SEND_TWICE | ROLE_BOTH);
}

static bool reads(const struct proc *p)
{
	return p->role & (ROLE_READ | ROLE_READ_TWICE | ROLE_BOTH);
}

static uint64_t cursor_of(const struct proc *p, const struct log *l)
{
	return p->s->rx.log[l->owner ? RX_NODE : RX_NET].cursor;
}

/* *start: of its memory. */
static struct log *log_at(const void *at, const uint8_t **start)
{
	const uint8_t *p = at;

	for (int i = -1; i < world.procs; i++) {
		struct log *l = i < 0 ? &world.net_log : &world.own_log[i];

		for (int k = 0; k < SERIALS; k++) {
			const uint8_t *base = i < 0 ? l->all[k].base : l->mem.base;

			if (base && p >= base &&
			    p < base + (size_t)(l->mem.slots + 1) * IPN_SLOT_SMALL) {
				*start = base;
				return l;
			}
		}
	}
	return NULL;
}

/* --- numbers and publications -------------------------------------------------------------- */

/* Is message n pending for somebody who is alive? */
static bool is_pending(const struct log *l, uint64_t n)
{
	if (l->owner)
		return !l->owner->killed && listens(l->owner) && cursor_of(l->owner, l) <= n;
	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];

		if (p->joined && !p->killed && listens(p) && cursor_of(p, l) <= n &&
		    n >= p->net_from && l->entry[n].from != p)
			return true;
	}
	return false;
}

static void check_number(struct log *l, uint64_t n, const struct ipn_log_head *head)
{
	uint64_t pending = 0;

	if (!l->owner && head->serial < world.complete)
		sim_fail("number %llu is of a log that is complete", (unsigned long long)n);

	if (n >= NUMBERS) {
		sim_fail("number %llu: more than can be", (unsigned long long)n);
		return;
	}
	l->entry[n].from = sim_current->owner;
	l->entry[n].message = -1;
	if (n >= l->numbers)
		l->numbers = n + 1;
	if (!world.lossless)
		return;
	for (uint64_t i = n < 2 * world.slots ? 0 : n - 2 * world.slots; i <= n; i++)
		pending += is_pending(l, i);
	for (int i = 0; sim_trace && pending > world.pool && i < world.procs; i++)
		sim_log("process %d, %s: cursor %llu", i,
			listens(&world.proc[i]) ? "listens" : "does not listen",
			(unsigned long long)cursor_of(&world.proc[i], l));
	if (pending > world.pool)
		sim_fail("%llu messages are pending in %s, the pool is %u",
			 (unsigned long long)pending, l->owner ? "an own log" : "the log",
			 world.pool);
}

static void check_publication(struct log *l, const struct ipn_slot *slot, uint64_t n)
{
	int proc, message, *last;
	struct message *m;

	if (n >= l->numbers || l->entry[n].message >= 0) {
		sim_fail("number %llu is published, and was not taken, or twice",
			 (unsigned long long)n);
		return;
	}
	if (!message_of(slot->data, slot->len, &proc, &message) ||
	    &world.proc[proc] != l->entry[n].from || slot->src != world.proc[proc].port) {
		sim_fail("what is published as number %llu is not whole", (unsigned long long)n);
		return;
	}
	m = &world.proc[proc].message[message];
	if (m->published++)
		sim_fail("message %d/%d is published twice", proc, message);
	l->entry[n].message = message;
	m->log = l;
	m->number = n;
	last = &last_message[m->task][l->owner ? 1 + l->owner->id : 0];
	if (*last >= message)
		sim_fail("message %d/%d comes behind %d", proc, message, *last);
	*last = message;
	sim_log("publishes %d/%d as %llu of %s %d", proc, message, (unsigned long long)n,
		l->owner ? "own log" : "log", l->owner ? l->owner->id : 0);
}

void check_atomic(void *at, uint64_t before, uint64_t after)
{
	const uint8_t *start;
	struct log *l = log_at(at, &start);
	size_t off;

	if (!l || !sim_current)
		return;
	off = (size_t)((uint8_t *)at - start);
	if (off == 0 && after == before + 1)
		check_number(l, before, (const void *)start);
	else if (off >= IPN_SLOT_SMALL && off % IPN_SLOT_SMALL == 0 && after &&
		 !(after & IPN_SEQ_BUSY) && before == (after | IPN_SEQ_BUSY))
		check_publication(l, at, after - 1);
}

/* --- received messages --------------------------------------------------------------------- */

/*
 * Messages behind n that count for the pool: those of others, and whatever is not there, whoever
 * sent it. Where several threads send or read, what was still to come may be there by now.
 */
static uint64_t others_behind(const struct proc *p, const struct log *l, uint64_t n)
{
	uint64_t others = 0;

	while (++n < l->numbers)
		others += l->entry[n].from && (p->role != ROLE_BOTH || l->entry[n].from != p ||
					       l->entry[n].message < 0);
	return others;
}

/* From its last message on it has passed over these. */
static void check_passed(struct proc *p, const struct log *l, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n < to; n++) {
		const struct entry *e = &l->entry[n];

		if (!e->from || e->message < 0 || e->from == p)
			continue;
		/* nobody owes it more, and who has its port now sends as it did */
		if (!l->owner && n >= p->left_from)
			return;
		if (world.lossless && well(p))
			sim_fail("process %d has passed over message %d/%d", p->id, e->from->id,
				 e->message);
		else if (!world.lossless && others_behind(p, l, n) < world.pool &&
			 l->numbers - n <= world.slots)
			sim_fail("process %d lost %d/%d, only %llu behind", p->id, e->from->id,
				 e->message, (unsigned long long)others_behind(p, l, n));
	}
}

static void check_order(struct proc *p, const struct log *l, uint64_t n)
{
	int which = l->owner != NULL;
	uint64_t from = which ? 0 : p->net_from;

	if (p->last[which] > from)
		from = p->last[which];
	if (n < from)
		sim_fail("process %d received number %llu behind %llu", p->id,
			 (unsigned long long)n, (unsigned long long)from);
	else
		check_passed(p, l, from, n);
	p->last[which] = n + 1;
	if (!world.lossless && p->by_call && !sends(p) && n >= l->first &&
	    p->before[which] > n + world.pool)
		sim_fail("process %d received number %llu, more than the pool behind %llu", p->id,
			 (unsigned long long)n, (unsigned long long)p->before[which]);
}

void check_received(struct proc *p, const uint8_t *data, size_t len)
{
	int proc, message;
	struct message *m;

	if (!message_of(data, len, &proc, &message)) {
		sim_fail("process %d received %zu bytes that nobody sent", p->id, len);
		return;
	}
	m = &world.proc[proc].message[message];
	sim_log("receives %d/%d, number %llu", proc, message, (unsigned long long)m->number);
	if (proc == p->id)
		sim_fail("process %d received its own message", proc);
	else if (!m->published || (m->log->owner && m->log->owner != p))
		sim_fail("process %d received %d/%d, which is not for it", p->id, proc, message);
	else if (p->has[proc][message])
		sim_fail("process %d received %d/%d twice", p->id, proc, message);
	else if (!(p->role & ROLE_READ_TWICE))
		check_order(p, m->log, m->number);
	p->has[proc][message] = true;
	p->got[m->log && m->log->owner]++;
}

/* --- all at rest --------------------------------------------------------------------------- */

static bool has_message(const struct proc *p)
{
	const struct rx *rx = &p->s->rx;
	const struct rx_log *stash = &rx->stash;

	if (stash->base && ((const struct ipn_log_head *)stash->base)->head > stash->cursor)
		return true;
	for (int i = 0; i < RX_LOGS; i++) {
		const struct log *l = i == RX_NET ? &world.net_log : p->own;

		for (uint64_t n = l ? rx->log[i].cursor : 0; l && n < l->numbers; n++)
			if (l->entry[n].from && l->entry[n].message >= 0 && l->entry[n].from != p)
				return true;
	}
	return false;
}

/* By what bpf/core/pool.h says, and by what readers have told. */
static bool net_has_room(void)
{
	const struct log *l = &world.net_log;
	uint64_t c1 = SIM_NEVER, c2 = SIM_NEVER, first, pending = 0;
	const struct proc *a = NULL;

	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];
		uint64_t c = p->page ? p->page->cursor : 0;

		if (!listens(p))
			continue;
		if (c < c1) {
			c2 = c1;
			c1 = c;
			a = p;
		} else if (c < c2) {
			c2 = c;
		}
	}
	if (!a)
		return true;
	for (uint64_t n = c1; n < l->numbers; n++)
		pending += n >= c2 || l->entry[n].from != a;
	for (first = c1; first < l->numbers && first < c2 && l->entry[first].from == a;)
		first++;
	return pending < world.pool && l->numbers < first + world.slots;
}

static bool has_room(uint32_t full)
{
	if (!full || !world.is_switch)
		return !world.net_log.head->closed && net_has_room();
	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];

		if (listens(p) && p->port == full - 1)
			return p->own->numbers < p->page->node_cursor + world.pool;
	}
	return true;
}

/* The manager died while it took one away: who waits for that one's room is rung by the next. */
static bool half_gone(void)
{
	for (int i = 0; i < world.procs; i++)
		if (world.proc[i].joined && !world.proc[i].left &&
		    world.proc[i].left_from != SIM_NEVER)
			return !world.manager;
	return false;
}

static void check_sleeper(const struct sim_task *t)
{
	const struct proc *p = t->owner;

	if (t->mutex) {
		sim_fail("%s waits for a lock for ever", t->name);
		return;
	}
	if (!p || p->killed || p->left || p->kicked)
		return;
	if (t->wants_message && t->waits_for & 1ULL << p->bell->id) {
		/* ipn_poll does not tell of that, and may have consumed what rings for it */
		if (p->s->shut && !t->polls && !(p->role & ROLE_READ_TWICE))
			sim_fail("%s sleeps, and may not receive any more", t->name);
		else if (!p->shut && !p->s->rx.peek_log && !follow_changes(&p->s->rx) &&
			 has_message(p))
			sim_fail("%s sleeps, and has a message", t->name);
	}
	if (t->wants_room && p->room && t->waits_for & 1ULL << p->room->id &&
	    !(p->role & ROLE_SEND_TWICE) && !half_gone() && has_room(p->s->full))
		sim_fail("%s sleeps, and there is room", t->name);
}

static void check_bits(void)
{
	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];
		const __u64 *word = &world.net->sleep[p->port / 64];

		if (well(p) && p->page->armed && !(*word & 1ULL << p->port % 64))
			sim_fail("process %d is armed without its bit", i);
	}
	for (int w = 0; w < IPN_SLEEP_WORDS; w++)
		if (world.net->sleep[w] && !(world.net->sleep_any & 1ULL << w))
			sim_fail("sleep_any does not tell of word %d", w);
}

void check_idle(void)
{
	for (int i = 0; i < SIM_TASKS; i++)
		if (sim_tasks[i].state == SIM_PARKED)
			check_sleeper(&sim_tasks[i]);
	check_bits();
}

/* --- the end ------------------------------------------------------------------------------- */

struct sums {
	uint64_t in, drops, busy, published, sent, trying;
};

static struct sums sums_of(const struct proc *p)
{
	struct sums sum = { 0 };

	for (int cpu = 0; cpu <= SIM_TASKS; cpu++) {
		const struct ipn_stats *s = kernel_peek_cpu(&ipn_stats, p->node, cpu);

		sum.in += s->in_packets;
		for (int i = 0; i < IPN_DROP_MAX; i++)
			sum.drops += s->drop[i];
		sum.busy += s->drop[IPN_DROP_BUSY];
	}
	for (int i = 0; i < p->messages; i++) {
		const struct message *m = &p->message[i];

		sum.published += m->published;
		sum.sent += m->outcome == SENT;
		sum.trying += m->outcome == TRYING;
		if (m->outcome == REFUSED && m->published && !p->kicked)
			sim_fail("message %d/%d was refused and is published", p->id, i);
	}
	return sum;
}

static void check_sent(const struct proc *p, const struct sums *sum)
{
	uint64_t known = sum->published + sum->drops;

	if (p->kicked) /* the end of a port is no reason to drop */
		return;
	if (sum->in != known && !(world.unread && sum->in > known))
		sim_fail("process %d: %llu messages came in, %llu are published, %llu dropped",
			 p->id, (unsigned long long)sum->in, (unsigned long long)sum->published,
			 (unsigned long long)sum->drops);
	if (sum->in < sum->sent || sum->in > sum->sent + sum->trying)
		sim_fail("process %d: %llu messages came in, %llu are sent", p->id,
			 (unsigned long long)sum->in, (unsigned long long)sum->sent);
}

/* Of what was published for p in this log, how much has not come? */
static uint64_t missing_of(const struct proc *p, const struct log *l, uint64_t from)
{
	uint64_t missing = 0;

	for (uint64_t n = from; n < l->numbers; n++) {
		const struct entry *e = &l->entry[n];

		if (e->from && e->message >= 0 && e->from != p && !p->has[e->from->id][e->message])
			missing++;
	}
	return missing;
}

static void check_reader(const struct proc *p)
{
	uint64_t missing, numbers = 0, overrun = p->s->rx.overrun;

	if (!well(p) || !reads(p))
		return;
	missing = missing_of(p, &world.net_log, p->net_from);
	for (uint64_t n = p->net_from; n < world.net_log.numbers; n++)
		numbers += world.net_log.entry[n].from != NULL;
	if (p->own) {
		missing += missing_of(p, p->own, 0);
		numbers += p->own->numbers;
	}
	if (world.lossless ? missing || overrun : missing > overrun)
		sim_fail("process %d: %llu messages are missing, %llu known as lost", p->id,
			 (unsigned long long)missing, (unsigned long long)overrun);
	if (!world.lossless && !sends(p) && p->got[0] + p->got[1] + overrun != numbers)
		sim_fail("process %d: %llu received, %llu lost, of %llu", p->id,
			 (unsigned long long)p->got[0] + p->got[1], (unsigned long long)overrun,
			 (unsigned long long)numbers);
	if (p->page->overrun != overrun)
		sim_fail("process %d: its page tells of %llu lost messages, it has lost %llu",
			 p->id, (unsigned long long)p->page->overrun, (unsigned long long)overrun);
}

/* Numbers that were taken and never published are drops. */
static void check_holes(uint64_t busy)
{
	uint64_t holes = 0;

	for (int i = -1; i < world.procs; i++) {
		const struct log *l = i < 0 ? &world.net_log : &world.own_log[i];

		for (uint64_t n = 0; l->mem.base && n < l->numbers; n++)
			holes += l->entry[n].from && l->entry[n].message < 0;
	}
	if (holes != busy)
		sim_fail("%llu numbers without a message, %llu drops for that",
			 (unsigned long long)holes, (unsigned long long)busy);
}

static void check_maps(void)
{
	uint32_t listen = 0, held = 0;

	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];
		const struct ipn_port_in *in;

		if (!p->node)
			continue;
		in = kernel_peek(&ipn_port_in, p->ifindex);
		listen += listens(p);
		held += world_holds(p);
		if (world_holds(p) != (p->joined && !p->left) || !!in != world_holds(p) ||
		    (in && !p->shut) != listens(p))
			sim_fail("process %d: the maps do not say what it is", i);
		if (in && (in->gen != p->gen || in->number != p->port || in->node != p->node))
			sim_fail("process %d: its entry is another's", i);
	}
	if (world.net->readers != listen)
		sim_fail("%u readers, net_fast has %u", listen, world.net->readers);
	for (uint32_t port = 0; port < world.numnodes; port++) {
		const struct ipn_port_out *dest = kernel_peek(&ipn_port_out, PORT_BASE + port);

		held -= dest->kind == IPN_KIND_PROC;
	}
	if (held)
		sim_fail("port_out has an entry too many, or too few");
}

void check_end(void)
{
	uint64_t busy = 0;

	for (int i = 0; i < SIM_TASKS; i++) {
		const struct sim_task *t = &sim_tasks[i];
		const struct proc *p = t->owner;

		if (t->state == SIM_PARKED && p && !t->wants_message && !p->kicked && !p->left)
			sim_fail("%s does not come to its end", t->name);
	}
	for (int i = 0; i < world.procs; i++) {
		const struct proc *p = &world.proc[i];
		struct sums sum;

		if (!p->joined)
			continue;
		sum = sums_of(p);
		busy += sum.busy;
		check_sent(p, &sum);
		check_reader(p);
	}
	check_holes(busy);
	check_maps();
}
