/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager under ptrace: every system call of its threads and of the processes that it starts
 * (the fdstore, the one that loads a policy, those that act as users) is counted from a mark on,
 * and one of them is the fault.
 */
#ifndef IPN_TESTS_INJECT_TRACE_H
#define IPN_TESTS_INJECT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct call {
	int nr;
	uint32_t cmd;   /* of bpf(2): which of its commands */
	uint64_t place; /* the same for calls that come by the same way */
};

struct fault {
	size_t at; /* from 1; 0: none */
	int error; /* 0: the process that makes the call is killed in front of it */
};

/* What happened since trace_mark. */
struct trace {
	struct call *calls;
	size_t ncalls;
	struct fault fault;
	bool hit;
	struct call at;
	char who[16]; /* name of the process that was hit */
};

extern struct trace trace;

void trace_begin(void);

/* Starts `ipn-fabric up`, which ends when the manager is ready or has failed. */
void trace_up(int out);
/* Starts a command, which is not traced. */
void trace_command(const char *command, int out);
/* Has that which was started last ended? Then *status is as waitpid says. */
bool trace_ended(int *status);

void trace_mark(struct fault fault);
/* No more calls are counted. */
void trace_unmark(void);

/* Serves what is traced: what there is, or what comes first within MS; or all of MS. */
void trace_serve(int ms);
void trace_serve_for(int ms);
/* Nothing runs in what is traced, and nothing is about to. */
bool trace_idle(void);
/* 0: none */
pid_t trace_manager(void);
void trace_kill_manager(void);

#endif
