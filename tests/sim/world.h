/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network of a seed, its processes, and what is known of each message. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim.h"

#include <ipn/abi.h>

#include "lib/sock.h"

#define PROCS 6
#define MESSAGES 64  /* of one process */
#define NUMBERS 1024 /* of one log */
#define SERIALS 3    /* logs that the network has, one after the other */
#define GAP 160      /* numbers of two logs of a LOSSY network: more than are under way */
#define NET 1        /* its number */
#define PORT_BASE 4
#define HEADER 14
#define MSG_LEN_MAX 200

/* What has a number in a log; from: NULL: nobody took that number. */
struct entry {
	struct proc *from;
	int message; /* -1: not published */
};

struct log {
	struct sim_log mem;
	struct sim_log
		all[SERIALS]; /* the network's: by serial; all of them have one row of numbers */
	struct ipn_log_head *head;
	uint64_t first;     /* number with which the last of them began */
	struct proc *owner; /* NULL: the network's */
	uint64_t numbers;
	struct entry entry[NUMBERS];
};

enum outcome { NOT_SENT, TRYING, SENT, REFUSED };

struct message {
	enum outcome outcome;
	uint32_t len;
	int to;   /* process, -1: all */
	int task; /* which sends it */
	unsigned int published;
	struct log *log;
	uint64_t number;
};

enum role {
	ROLE_SEND = 1,
	ROLE_READ = 2,
	ROLE_READ_TWICE = 4, /* two threads read one descriptor */
	ROLE_SEND_TWICE = 8,
	ROLE_BOTH = 16, /* one thread sends and reads */
};

struct proc {
	int id;
	uint32_t role, style;
	uint32_t port, node, ifindex, gen;
	int fd; /* of its socket, and of its tap */
	bool asked, joined, killed, left, kicked, shut;
	struct ipn_sock *s;
	struct ipn_page *page;
	struct sim_ring *bell, *room;
	struct log *own;
	uint64_t net_from, own_from; /* where it began to read */
	uint64_t left_from;          /* in the network's log, when it left */

	struct message message[MESSAGES];
	int messages, to_send;
	uint64_t got[2];
	uint64_t last[2];   /* number of the last message of each log, + 1 */
	uint64_t before[2]; /* numbers in each log when the call began; by one thread */
	bool by_call;       /* it was received by the call that `before` is of */
	bool has[PROCS][MESSAGES];
};

struct world {
	bool lossless, is_switch;
	uint32_t pool, slots, ring_size, numnodes;
	struct ipn_net_fast *net;
	struct proc proc[PROCS];
	int procs;
	struct log net_log, own_log[PROCS];
	bool unread;       /* at some time no process could receive */
	uint64_t rotating; /* as in net_info */
	uint64_t complete; /* nobody may take a number from logs before this one */
	struct sim_task *manager;
};
extern struct world world;

void world_make(void);
/* How it ends: all that is left to come is a timeout of who reads. */
bool world_ends(void);
/* Something that is in store for this seed happens now. False: there is nothing more. */
bool world_event(void);
/* Does the manager have the port as this process's? */
bool world_holds(const struct proc *p);

/* actors.c */
void actors_start(struct proc *p);

/* message.c */
uint32_t message_make(uint8_t *to, int proc, int message);
/* The process and the message that these bytes are, whole; or false. */
bool message_of(const uint8_t *data, size_t len, int *proc, int *message);

/* check.c */
void check_begin(void);
void check_atomic(void *at, uint64_t before, uint64_t after);
void check_received(struct proc *p, const uint8_t *data, size_t len);
void check_idle(void);
void check_end(void);

#endif
