// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One network of a seed: which processes there are, what the manager does to their ports, and what
 * happens to whom: kills, newcomers, ports that are taken away, a manager that dies and the next
 * one.
 *
 * The manager here is a model of user/manager/node.c and adopt.c: it stores into the same maps in
 * the same order (the heads of those files tell it), and knows nothing of paths and interfaces.
 * This file is compiled as the product is, so its stores are yield points, too.
 */
#include "world.h"

#include <errno.h>
#include <string.h>

#include "core/maps.h"

#include "lib/follow.h"
#include "lib/rx.h"
#include "lib/tx.h"

#define EVENTS 8
#define JOBS 16
#define SHORT_NS 20000
#define LOG_FD (SIM_FD + 500) /* behind those of rings */

struct world world;

enum what { JOIN, LEAVE, KICK, SHUT, ROTATE, KILL, MANAGER_DIES, MANAGER_NEW };
struct job {
	enum what what;
	struct proc *p;
};
struct event {
	uint64_t step;
	struct job job;
};

static struct event events[EVENTS];
static int events_count, events_done;
static struct job jobs[JOBS];
static int jobs_count;
static uint32_t next_node, next_gen;
static unsigned int managers;
static struct proc *holder[IPN_NET_PORTS]; /* of each port, as the manager knows it */
static uint32_t readers;

/* --- the manager: node.c ------------------------------------------------------------------- */

static void port_out_set(const struct proc *p, uint32_t flags, bool present)
{
	uint32_t at = PORT_BASE + p->port;
	struct ipn_port_out dest = {
		.kind = present ? IPN_KIND_PROC : IPN_KIND_NONE,
		.flags = flags,
		.ifindex = p->ifindex,
		.node = p->node,
		.gen = p->gen,
	};
	const struct ipn_port_out *now = kernel_peek(&ipn_port_out, at);

	if (present && now->gen != dest.gen) {
		struct ipn_port_out nobody = dest;

		nobody.kind = IPN_KIND_NONE;
		bpf_map_update_elem(&ipn_port_out, &at, &nobody, BPF_ANY);
	}
	bpf_map_update_elem(&ipn_port_out, &at, &dest, BPF_ANY);
}

static uint32_t flags_of(const struct proc *p)
{
	uint32_t flags = IPN_PF_WRITER | IPN_PF_UP | (p->own ? IPN_PF_NODELOG : 0);

	return p->shut ? flags : flags | IPN_PF_READER;
}

/* bpf_port_set */
static void port_in_set(const struct ipn_port_in *port)
{
	struct ipn_port_in nobody = *port, *now;
	uint32_t at = port->ifindex;

	now = kernel_peek(&ipn_port_in, port->ifindex);
	if (!now || memcmp(now, port, sizeof(*now)) != 0)
		bpf_map_update_elem(&ipn_port_in, &port->ifindex, port, BPF_ANY);
	now = kernel_peek(&ipn_port_cache, at);
	nobody.ifindex = 0;
	if (!now->ifindex)
		bpf_map_update_elem(&ipn_port_cache, &at, &nobody, BPF_ANY);
	if (memcmp(now, port, sizeof(*now)) != 0)
		bpf_map_update_elem(&ipn_port_cache, &at, port, BPF_ANY);
}

/* bpf_port_del */
static void port_in_del(uint32_t ifindex)
{
	struct ipn_port_in now;
	uint32_t at = ifindex;

	memcpy(&now, kernel_peek(&ipn_port_cache, at), sizeof(now));
	if (now.ifindex == ifindex) {
		now.ifindex = 0;
		bpf_map_update_elem(&ipn_port_cache, &at, &now, BPF_ANY);
	}
	bpf_map_delete_elem(&ipn_port_in, &ifindex);
}

static void node_store(const struct proc *p)
{
	struct ipn_port_in port = {
		.ifindex = p->ifindex,
		.net = NET,
		.number = p->port,
		.kind = IPN_KIND_PROC,
		.flags = flags_of(p),
		.policy = world.is_switch ? IPN_POLICY_SWITCH : IPN_POLICY_BROADCAST,
		.mtu = 1000,
		.node = p->node,
		.gen = p->gen,
	};

	port_in_set(&port);
}

static void node_count(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < world.numnodes; i++)
		n += holder[i] && !holder[i]->shut;
	readers = n;
	if (!n)
		world.unread = true;
	__atomic_store_n(&world.net->readers, n, __ATOMIC_SEQ_CST);
}

static void node_publish(const struct proc *p)
{
	node_store(p);
	port_out_set(p, flags_of(p), true);
	node_count();
}

/* What a process finds when it has connected: join.c. */
/* It is the process that does this, when it has the whole reply: so in one step. */
__attribute__((no_sanitize_thread)) static void connect_map(struct proc *p, uint64_t cursor)
{
	const struct rx_log net = {
		.base = world.net_log.mem.base,
		.slot_size = IPN_SLOT_SMALL,
		.mask = world.slots - 1,
		.cursor = cursor,
	};
	struct ipn_sock *s = p->s;
	struct rx *rx = &s->rx;

	if (!p->shut)
		rx->log[RX_NET] = net;
	else
		s->shut = SOCK_SHUT_RD;
	if (p->own) {
		rx->log[RX_NODE] = net;
		rx->log[RX_NODE].base = p->own->mem.base;
		rx->log[RX_NODE].cursor = 0;
	}
	rx->log_word = IPN_LOG_IS(world.net_log.head->serial);
	rx->page = p->page;
	rx->bell = (struct rx_bell){ .fd = kernel_ring_fd(p->bell),
				     .size = p->bell->size,
				     .consumer = p->bell->consumer,
				     .producer = p->bell->producer,
				     .data = p->bell->data };
	if (world.lossless)
		s->room = (struct rx_bell){ .fd = kernel_ring_fd(p->room),
					    .size = p->room->size,
					    .consumer = p->room->consumer,
					    .producer = p->room->producer,
					    .data = p->room->data };
	rx->own = p->port;
	rx->lossless = world.lossless;
	rx->pool = world.lossless ? world.slots : world.pool;
	if (!rx->lossless && rx->pool > world.slots / 2)
		rx->pool = world.slots / 2;
	if (!rx->lossless && !p->shut)
		rx->own_room = (world.slots - rx->pool) / 4 * 3 + 1;
	s->tap = p->fd;
	s->mtu = 1000;
	s->state = SOCK_CONNECTED;
	p->net_from = cursor;
	p->left_from = SIM_NEVER;
}

static void log_make(struct log *l, struct proc *owner, int number)
{
	l->mem.slots = world.slots;
	l->mem.base = sim_shared((size_t)(world.slots + 1) * IPN_SLOT_SMALL,
				 owner ? "own log" : "log", number);
	l->mem.map = kernel_inner(l->mem.base, IPN_SLOT_SMALL, world.slots + 1);
	l->head = (void *)l->mem.base;
	l->owner = owner;
	memset(l->all, 0, sizeof(l->all));
	memset(l->entry, 0, l->numbers * sizeof(l->entry[0])); /* of the last seed */
	l->numbers = l->first = 0;
}

/* Steps 1 to 3: what no node had before. */
static void node_memory(struct proc *p)
{
	p->page = sim_shared(sizeof(*p->page), "page", p->id);
	p->bell = kernel_ring(world.ring_size, "bell", p->id);
	if (world.lossless)
		p->room = kernel_ring(world.ring_size, "room bell", p->id);
	if (world.is_switch && !p->shut) {
		p->own = &world.own_log[p->id];
		log_make(p->own, p, p->id);
	}
	p->node = next_node++;
	p->gen = ++next_gen;
	p->ifindex = 7 + p->node;
	kernel_set_inner(&ipn_pages, p->node, kernel_inner(p->page, sizeof(*p->page), 1));
	kernel_set_inner(&ipn_bells, p->node, kernel_ring_map(p->bell));
	if (p->own)
		kernel_set_inner(&ipn_logs_small, IPN_LOG_OF_NODE(p->node), p->own->mem.map);
	if (p->room)
		kernel_set_inner(&ipn_rooms, p->node, kernel_ring_map(p->room));
}

/* node_connect */
static void node_join(struct proc *p)
{
	uint64_t cursor;

	for (int i = 0; i < world.procs; i++)
		if (world.proc[i].left && sim_chance(160))
			p->port = world.proc[i].port;
	while (holder[p->port])
		p->port = (p->port + 1) % world.numnodes;
	holder[p->port] = p;
	node_memory(p);
	node_store(p);
	kernel_tap(p->fd, p->ifindex);
	p->page->log = IPN_LOG_IS(world.net_log.head->serial);
	cursor = __atomic_load_n(&world.net_log.head->head, __ATOMIC_SEQ_CST);
	if (world.lossless) {
		__atomic_store_n(&p->page->cursor, cursor, __ATOMIC_SEQ_CST);
		port_out_set(p, flags_of(p), true);
		sim_fence();
		cursor = __atomic_load_n(&world.net_log.head->head, __ATOMIC_SEQ_CST);
		__atomic_store_n(&p->page->cursor, cursor, __ATOMIC_SEQ_CST);
		kernel_notify(NET, IPN_NOTIFY_POOL, 0, 0);
	}
	node_publish(p);
	sim_fence(); /* the reply */
	connect_map(p, cursor);
	p->joined = true;
	p->left = false;
	sim_log("process %d has joined at port %u, node %u, cursor %llu", p->id, p->port, p->node,
		(unsigned long long)cursor);
	sim_fence(); /* it is the process that does this, before it goes on */
	actors_start(p);
}

/* The descriptors of a process are closed when the last of its threads is dead. */
static void wait_for_end(const struct proc *p)
{
	for (int i = 0; i < SIM_TASKS; i++)
		while (sim_tasks[i].owner == p && sim_tasks[i].state != SIM_DEAD)
			sim_yield_now();
}

/*
 * An interface is gone when no program runs any more that began at it: the kernel waits for that
 * before it tells the manager.
 */
static void wait_for_programs(void)
{
	for (int i = 0; i < SIM_TASKS; i++) {
		uint64_t program = sim_tasks[i].programs;

		while (sim_tasks[i].in_program && sim_tasks[i].programs == program)
			sim_yield_now();
	}
}

/* For the checks: no part of what happens. */
__attribute__((no_sanitize_thread)) static void leaves(struct proc *p)
{
	p->left_from = world.net_log.numbers;
}

static void node_del(struct proc *p, int why)
{
	if (p->killed)
		wait_for_end(p);
	sim_log("process %d leaves", p->id);
	leaves(p);
	port_out_set(p, flags_of(p), false);
	holder[p->port] = NULL;
	node_count();
	port_in_del(p->ifindex);
	if (why)
		kernel_notify(p->node, IPN_NOTIFY_BELL, IPN_EVENT_GONE, (uint32_t)why);
	if (world.lossless) {
		kernel_notify(p->node, IPN_NOTIFY_ROOM, 0, 0);
		kernel_notify(NET, IPN_NOTIFY_POOL, 0, 0);
	}
	kernel_tap(p->fd, 0);
	wait_for_programs();
	p->left = true;
	sim_log("process %d has left", p->id);
}

static void node_shutdown(struct proc *p)
{
	p->shut = true;
	node_publish(p);
	if (world.lossless)
		kernel_notify(NET, IPN_NOTIFY_POOL, 0, 0);
}

/* --- the manager: rotate.c ----------------------------------------------------------------- */

static void tell(uint64_t word)
{
	for (uint32_t i = 0; i < world.numnodes; i++)
		if (holder[i])
			__atomic_store_n(&holder[i]->page->log, word, __ATOMIC_SEQ_CST);
}

/* M3 */
static void next_log_make(void)
{
	struct sim_log *next = &world.net_log.all[world.rotating];
	struct ipn_log_head *head;

	next->slots = world.slots;
	next->base =
		sim_shared((size_t)(world.slots + 1) * IPN_SLOT_SMALL, "log", (int)world.rotating);
	next->map = kernel_inner(next->base, IPN_SLOT_SMALL, world.slots + 1);
	head = (void *)next->base;
	head->serial = world.rotating;
	if (world.lossless)
		head->closed = head->waiting = 1;
	else
		head->head = head->start = world.net_log.head->head + GAP;
	sim_fence();
}

/* M6, M8 */
static void next_log_open(struct ipn_log_head *old)
{
	struct ipn_log_head *head = (void *)world.net_log.mem.base;

	if (head->closed) {
		memcpy((uint8_t *)head + IPN_SLOT_SMALL, (uint8_t *)old + IPN_SLOT_SMALL,
		       (size_t)world.slots * IPN_SLOT_SMALL);
		head->head = head->start = old->head;
	}
	tell(IPN_LOG_IS(world.rotating)); /* M7 */
	__atomic_store_n(&head->closed, 0, __ATOMIC_SEQ_CST);
	kernel_notify(NET, IPN_NOTIFY_POOL, 0, 0);
}

static void wait_for_programs(void);

static void log_rotate(void)
{
	struct log *l = &world.net_log;

	sim_log("log %llu comes", (unsigned long long)world.rotating);
	if (l->head->serial != world.rotating) {
		next_log_make();
		if (!world.lossless)
			tell(IPN_LOG_COMES(world.rotating)); /* M4 */
		l->mem = l->all[world.rotating];
		l->head = (void *)l->mem.base;
	}
	l->first = l->head->start;
	kernel_set_inner(&ipn_logs_small, NET, l->mem.map); /* M5 */
	wait_for_programs();
	world.complete = world.rotating;
	if (world.lossless)
		next_log_open((void *)l->all[world.rotating - 1].base);
	else
		tell(IPN_LOG_IS(world.rotating));     /* M7 */
	for (uint32_t i = 0; i < world.numnodes; i++) /* M9 */
		if (holder[i] && !holder[i]->shut)
			kernel_notify(holder[i]->node, IPN_NOTIFY_BELL, IPN_EVENT_WAKE, 0);
	sim_log("log %llu is there", (unsigned long long)world.rotating);
	world.rotating = 0; /* M10 */
}

/* M1 */
static void rotate_want(void)
{
	uint64_t next = world.net_log.head->serial + 1;

	if (next == SERIALS)
		return;
	world.rotating = next;
	log_rotate();
}

/* The process's side of shutdown(): join.c. */
static void shutdown_read(struct proc *p)
{
	__atomic_or_fetch(&p->s->shut, SOCK_SHUT_RD, __ATOMIC_SEQ_CST);
	rx_wake(p->s);
}

/* --- the next manager: adopt.c ------------------------------------------------------------- */

static struct proc *proc_of(uint32_t ifindex)
{
	for (int i = 0; i < world.procs; i++)
		if (world.proc[i].ifindex == ifindex && world.proc[i].node)
			return &world.proc[i];
	return NULL;
}

/* Had it joined to the end, and not begun to leave? */
static bool had_joined(const struct ipn_port_in *port)
{
	const struct ipn_port_out *dest = kernel_peek(&ipn_port_out, PORT_BASE + port->number);

	return dest->kind == port->kind && dest->ifindex == port->ifindex && dest->gen == port->gen;
}

static void adopt_port(struct proc *p, const struct ipn_port_in *port)
{
	if (!had_joined(port)) {
		port_in_del(port->ifindex);
		return;
	}
	holder[port->number] = p;
	p->shut = !(port->flags & IPN_PF_READER);
	node_store(p);
	port_out_set(p, flags_of(p), true);
}

static void adopt_stray(struct proc *p)
{
	if (p->killed)
		wait_for_end(p);
	kernel_tap(p->fd, 0);
	wait_for_programs();
	if (p->joined && !p->killed)
		p->kicked = true;
	p->left = true;
}

static void adopt(void)
{
	memset(holder, 0, sizeof(holder));
	for (uint32_t i = 1; i < 7 + next_node; i++) {
		const struct ipn_port_in *port = kernel_peek(&ipn_port_in, i);

		if (port)
			adopt_port(proc_of(i), port);
	}
	/* an interface that belongs to no port is removed */
	for (int i = 0; i < world.procs; i++)
		if (world.proc[i].node && !world.proc[i].left &&
		    holder[world.proc[i].port] != &world.proc[i])
			adopt_stray(&world.proc[i]);
	/* who died meanwhile, or was not told that it had joined */
	for (uint32_t i = 0; i < world.numnodes; i++)
		if (holder[i] && (holder[i]->killed || !holder[i]->joined))
			node_del(holder[i], 0);
	for (uint32_t i = 0; i < world.numnodes; i++) {
		const struct ipn_port_out *dest = kernel_peek(&ipn_port_out, PORT_BASE + i);
		const struct ipn_port_out none = { 0 };
		uint32_t at = PORT_BASE + i;

		if (dest->kind && !holder[i])
			bpf_map_update_elem(&ipn_port_out, &at, &none, BPF_ANY);
	}
	node_count();
	if (world.lossless)
		kernel_notify(NET, IPN_NOTIFY_POOL, 0, 0);
	if (world.rotating)
		log_rotate();
	sim_log("the next manager has taken over");
}

/* --- the manager's task -------------------------------------------------------------------- */

static void do_job(const struct job *job)
{
	struct proc *p = job->p;

	switch (job->what) {
	case JOIN:
		if (!p->joined && !p->killed)
			node_join(p);
		break;
	case LEAVE:
		if (holder[p->port] == p)
			node_del(p, 0);
		break;
	case KICK:
		if (holder[p->port] != p || p->killed)
			break;
		p->kicked = true;
		node_del(p, ENODEV);
		break;
	case ROTATE:
		rotate_want();
		break;
	case SHUT:
		if (holder[p->port] != p || p->killed || p->kicked)
			break;
		node_shutdown(p);
		shutdown_read(p);
		break;
	default:
		break;
	}
}

static void manager_main(void *arg)
{
	if (arg)
		adopt();
	for (;;) {
		struct job job;

		while (!jobs_count)
			sim_park(SIM_NEVER);
		job = jobs[0];
		do_job(&job);
		memmove(jobs, jobs + 1, (size_t)(--jobs_count) * sizeof(*jobs));
	}
}

static void manager_new(void *next)
{
	char name[24];

	snprintf(name, sizeof(name), "manager%u", ++managers & 15U);
	world.manager = sim_task_new(name, manager_main, next);
}

static void ask(enum what what, struct proc *p)
{
	if (what == JOIN)
		p->asked = true;
	if (jobs_count == JOBS)
		return;
	jobs[jobs_count++] = (struct job){ what, p };
	if (world.manager)
		sim_wake(world.manager);
}

static void kill_proc(struct proc *p)
{
	if (p->killed || !p->joined)
		return;
	sim_log("process %d is killed", p->id);
	p->killed = true;
	for (int i = 0; i < SIM_TASKS; i++)
		if (sim_tasks[i].owner == p && sim_tasks[i].state != SIM_DEAD)
			sim_kill(&sim_tasks[i]);
	ask(LEAVE, p);
}

/*
 * What was asked of the dead manager is asked of the next one; who had not joined to the end joins
 * anew, as another node, and with memory of its own.
 */
static void manager_dies(void)
{
	sim_log("the manager is killed");
	sim_kill(world.manager);
	world.manager = NULL;
}

static void happen(const struct job *job)
{
	switch (job->what) {
	case KILL:
		kill_proc(job->p);
		break;
	case MANAGER_DIES:
		if (world.manager)
			manager_dies();
		break;
	case MANAGER_NEW:
		if (!world.manager)
			manager_new(&world);
		break;
	default:
		ask(job->what, job->p);
	}
}

bool world_event(void)
{
	if (events_done == events_count)
		return false;
	happen(&events[events_done++].job);
	return true;
}

/* It has still to get the network's log, and will. */
static bool asks(const struct proc *p)
{
	return world.manager && world_holds(p) && !p->killed && !p->shut && follow_moved(&p->s->rx);
}

bool world_ends(void)
{
	for (int i = 0; i < SIM_TASKS; i++) {
		const struct sim_task *t = &sim_tasks[i];

		if (t->state == SIM_PARKED && t->deadline != SIM_NEVER &&
		    (!t->wants_message || asks(t->owner)))
			return false;
	}
	return true;
}

bool world_holds(const struct proc *p)
{
	return p->node && holder[p->port] == p;
}

static void on_choice(void)
{
	while (events_done < events_count && events[events_done].step <= sim_steps)
		world_event();
}

/* --- what this seed is --------------------------------------------------------------------- */

static void event_at(enum what what, struct proc *p, uint64_t step)
{
	int i = events_count++;

	for (; i > 0 && events[i - 1].step > step; i--)
		events[i] = events[i - 1];
	events[i] = (struct event){ step, { what, p } };
}

/* As often early as late. */
static uint64_t some_step(void)
{
	return sim_random() >> 32 & ((16ULL << sim_below(12)) - 1);
}

static void proc_make(struct proc *p, int id)
{
	bool threads = p->role & (ROLE_READ_TWICE | ROLE_SEND_TWICE) ||
		       (p->role & ROLE_SEND && p->role & ROLE_READ);

	p->id = id;
	p->fd = 1 + id;
	p->style = (uint32_t)sim_random();
	/* who does not read would stop the others, or be too slow */
	p->shut = !(p->role & (ROLE_READ | ROLE_READ_TWICE | ROLE_BOTH)) &&
		  (world.lossless || sim_chance(128));
	/* ports of both words of the sleep bits */
	p->port = sim_chance(128) ? (uint32_t)id : world.numnodes - 1 - (uint32_t)id;
	p->s = threads ? sim_shared(sizeof(*p->s), "socket", id) : sim_private(sizeof(*p->s));
	if (p->style & 8)
		p->s->rcvtimeo = SHORT_NS;
	if (p->role & ROLE_BOTH && world.lossless)
		p->s->sndtimeo = SHORT_NS;
	if (p->role & (ROLE_SEND | ROLE_SEND_TWICE | ROLE_BOTH))
		p->to_send = 1 + (int)sim_below(sim_chance(200) ? 12 : MESSAGES);
	if (p->role & ROLE_BOTH && p->to_send > 24)
		p->to_send = 24;
}

/* The first process receives, the second sends, and no harm comes to the first but at times. */
static uint32_t role_of(int id)
{
	static const uint32_t any[] = { ROLE_SEND,
					ROLE_READ,
					ROLE_BOTH,
					ROLE_READ,
					ROLE_SEND | ROLE_READ,
					ROLE_READ_TWICE,
					ROLE_SEND_TWICE | ROLE_READ,
					ROLE_SEND | ROLE_READ_TWICE };

	if (id == 0)
		return sim_chance(200) ? ROLE_READ : ROLE_READ_TWICE;
	if (id == 1)
		return sim_chance(200) ? ROLE_SEND | (sim_chance(128) ? ROLE_READ : 0)
				       : ROLE_SEND_TWICE;
	return any[sim_below(8)];
}

static void events_make(void)
{
	int first = sim_chance(24) ? 0 : 1, last = world.procs - 1;

	if (sim_chance(96))
		event_at(KILL, &world.proc[first + (int)sim_below((uint32_t)(last - first) + 1)],
			 some_step());
	if (sim_chance(24))
		event_at(KICK, &world.proc[first + (int)sim_below((uint32_t)(last - first) + 1)],
			 some_step());
	if (sim_chance(24))
		event_at(SHUT, &world.proc[first + (int)sim_below((uint32_t)(last - first) + 1)],
			 some_step());
	for (int i = 0; i < SERIALS - 1; i++)
		if (sim_chance(48))
			event_at(ROTATE, NULL, some_step());
	if (sim_chance(32)) {
		uint64_t dies = some_step();

		event_at(MANAGER_DIES, NULL, dies);
		event_at(MANAGER_NEW, NULL, dies + some_step());
	}
}

static void network_make(void)
{
	world.is_switch = sim_chance(96);
	world.lossless = sim_chance(128);
	world.pool = 1 + sim_below(8);
	world.slots = 8;
	while (world.slots < 2 * world.pool || (world.slots < 32 && sim_chance(96)))
		world.slots *= 2;
	world.ring_size = 64U << 2 * sim_below(3);
	world.numnodes = sim_chance(48) ? 66 : 2 + PROCS;
	world.net = kernel_peek(&ipn_net_fast, NET);
	*world.net = (struct ipn_net_fast){
		.policy = world.is_switch ? IPN_POLICY_SWITCH : IPN_POLICY_BROADCAST,
		.mtu = 1000,
		.numnodes = world.numnodes,
		.port_base = PORT_BASE,
		.log_class = IPN_LOG_SMALL,
		.log_mask = world.slots - 1,
		.flags = world.lossless ? IPN_FLAG_LOSSLESS : 0,
		.pool = world.pool,
	};
	log_make(&world.net_log, NULL, 0);
	kernel_set_inner(&ipn_logs_small, NET, world.net_log.mem.map);
	world.net_log.all[0] = world.net_log.mem;
}

static void way_make(void)
{
	static const uint16_t slices[] = { 2, 4, 8, 16, 32, 64, 200, 800 };
	static const uint16_t stalls[] = { 0, 0, 8, 64 };

	sim_way.slice = slices[sim_below(8)];
	sim_way.stall = stalls[sim_below(4)];
	sim_way.buffers = sim_chance(128);
}

void world_make(void)
{
	memset(&world, 0, offsetof(struct world, proc));
	memset(world.proc, 0, sizeof(world.proc));
	for (int i = 0; i < PROCS; i++)
		world.own_log[i].mem.base = NULL;
	memset(holder, 0, sizeof(holder));
	events_count = events_done = jobs_count = managers = 0;
	next_node = 3;
	next_gen = readers = 0;
	world.unread = false;
	world.rotating = world.complete = 0;
	way_make();
	network_make();
	world.procs = 2 + (int)sim_below(PROCS - 2 + 1);
	sim_log("%s, %s, pool %u, %u slots, %u ports, bells of %u bytes; slice %u, stall %u, %s",
		world.is_switch ? "switch" : "broadcast", world.lossless ? "lossless" : "lossy",
		world.pool, world.slots, world.numnodes, world.ring_size, sim_way.slice,
		sim_way.stall, sim_way.buffers ? "stores buffered" : "stores at once");
	for (int i = 0; i < world.procs; i++) {
		world.proc[i].role = role_of(i);
		proc_make(&world.proc[i], i);
	}
	manager_new(NULL);
	for (int i = 0; i < world.procs; i++) {
		if (i > 1 && sim_chance(64))
			event_at(JOIN, &world.proc[i], some_step());
		else
			node_join(&world.proc[i]);
	}
	events_make();
	sim_on_choice = on_choice;
}

/* For libipn, in the place of the control connection: one question, to the manager there is. */
int client_open(const char *run_dir, const struct client_wait *wait)
{
	return world.manager ? LOG_FD : -ENETDOWN;
}

int client_ask(int fd, struct client_call *call, uint32_t *id)
{
	*id = managers;
	return world.manager ? 0 : -ENETDOWN;
}

int client_answer(int fd, struct client_call *call, uint32_t id)
{
	const struct ipn_ctl_log *request = call->request;
	const struct proc *p = &world.proc[call->fds[0] - 1];
	uint64_t now = world.net_log.head->serial;

	if (!world.manager || managers != id)
		return -ENETDOWN;
	if (world.rotating || sim_chance(128))
		return -EAGAIN;
	if (!world_holds(p) || p->shut)
		return -EACCES;
	if (!world.lossless && request->serial + 2 == now)
		now--;
	call->reply_fds[0] = LOG_FD + (int)now;
	call->nreply_fds = 1;
	return 0;
}

void *sim_mmap(size_t len, int fd);
void *sim_mmap(size_t len, int fd)
{
	return fd < 0 ? sim_private(len) : world.net_log.all[fd - LOG_FD].base;
}

/*
 * The place of the old log becomes the place of this one: here the pointer to it changes, and who
 * has the old pointer sees what he could have seen a moment before.
 */
void *sim_mremap(void *p, const void *over);
void *sim_mremap(void *p, const void *over)
{
	struct proc *me = sim_current->owner;

	me->s->rx.log[RX_NET].base = p;
	return (void *)over;
}

bool sock_own_is(const struct sock_own *own)
{
	return false;
}

/* For libipn, in the place of its table of descriptors. */
int sock_get(int fd, struct ipn_sock **out)
{
	if (fd < 1 || fd > world.procs)
		return -EBADF;
	*out = world.proc[fd - 1].s;
	return 0;
}

void sock_put(struct ipn_sock *s)
{
}

int sock_may_block(struct ipn_sock *s)
{
	return s->nonblock ? -EAGAIN : 0;
}
