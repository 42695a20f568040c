// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What happens when a step fails: inject [-n ROWS] [-s SEED] [-l SECONDS] NAME DO UNDO...
 *
 * Each operation is two commands for sh: one that does it and one that undoes it. "@up" in place
 * of a command is a new manager, "@up COMMAND" and then the command; "@adopt" kills the one that is
 * there first. For each operation the
 * calls are counted that the manager and its processes make, and then it is done again and again
 * with one fault: at the k-th call the process that makes it is killed, or the call fails with one
 * of four errors. A row is right if
 *
 *	an error     the manager lives; the operation has said that it failed, with a text, and
 *		     everything is as before; or has said that it worked, and everything is as if
 *		     no call had failed
 *	killed       with the next manager everything is as before, or as after the operation
 *	always       it can be undone and done again without a fault, and what is then left, down to
 *		     the manager's descriptors, is what was there before
 *
 *	-n ROWS      so many rows of each operation and fault, by chance (0: all). Of operations of
 *		     thousands of calls always some: see choose()
 *	-s SEED      of that chance
 *	-l SECONDS   how long a state may take to be there (10)
 *	-k PATTERN   only operations whose name matches this extended regular expression
 *	-v           prints each row
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rules.h"
#include "state.h"
#include "trace.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define LONG 600 /* calls: an operation with more is not tried at every one */
#define COMMAND_MS 20000

enum outcome { AS_BEFORE, AS_AFTER, AGAIN, OUTCOMES };

static const struct {
	const char *name;
	int error;
} faults[] = {
	{ "killed", 0 },    { "ENOMEM", ENOMEM }, { "EMFILE", EMFILE },
	{ "EINTR", EINTR }, { "EPERM", EPERM },
};
#define FAULTS ARRAY_SIZE(faults)

struct op {
	const char *name, *todo, *undo;
	char *before, *after;
	char *fds;
	struct call *calls;
	size_t ncalls;
	long began; /* ms */
	unsigned int rows[FAULTS][OUTCOMES], wrong;
};

static int out_fd; /* what commands say */
static unsigned int limit_ms = 10000, wrong, row_limit;
static bool verbose;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- commands ----------------------------------------------------------------------------------*/

static void said(char *text, size_t size)
{
	ssize_t n = pread(out_fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* 0: it worked; -1: it hung */
static int run(const char *command)
{
	long end = now_ms() + (long)limit_ms + COMMAND_MS;
	int status;

	if (ftruncate(out_fd, 0) || lseek(out_fd, 0, SEEK_SET))
		err(1, "output");
	if (!strcmp(command, "@adopt"))
		trace_kill_manager();
	if (command[0] == '@')
		trace_up(out_fd);
	else
		trace_command(command, out_fd);
	while (!trace_ended(&status)) {
		if (now_ms() > end)
			return -1;
		trace_serve(50);
	}
	return !status && !strncmp(command, "@up ", 4) ? run(command + 4) : status;
}

/* The manager has done what the command left it to do. */
static void settle(void)
{
	long end = now_ms() + (long)limit_ms;

	while (now_ms() < end) {
		if (trace_idle()) {
			trace_serve(2);
			if (trace_idle())
				return;
		}
		trace_serve(1);
	}
}

/* Is the state one of these within that time? -1: no. */
static int state_within(const char *a, const char *b, unsigned int ms)
{
	long end = now_ms() + (long)ms;

	for (;;) {
		char *now = state_get();
		int is = !strcmp(now, a) ? AS_BEFORE : b && !strcmp(now, b) ? AS_AFTER : -1;

		if (is < 0 && now_ms() > end && ms == limit_ms)
			state_diff(a, now);
		free(now);
		if (is >= 0 || now_ms() > end)
			return is;
		trace_serve(5);
	}
}

static int state_is(const char *a, const char *b)
{
	return state_within(a, b, limit_ms);
}

/* --- a row -------------------------------------------------------------------------------------*/

static bool begins_alive(const struct op *op)
{
	return strcmp(op->todo, "@up") != 0;
}

static bool ends_alive(const struct op *op)
{
	return !strstr(op->todo, "ipn-fabric down");
}

/* What a step should have been, and was not. Returns false. */
static bool bad(const char *what)
{
	char text[512];

	said(text, sizeof(text));
	printf("      %s: '%s'\n", what, text);
	return false;
}

static bool undone(const struct op *op)
{
	if (run(op->undo))
		return bad("it cannot be undone");
	return state_is(op->before, NULL) == AS_BEFORE || bad("undone, and something stays");
}

/* None but those of before. Sessions that have ended are closed after a while. */
static bool fds_are(struct op *op)
{
	long end = now_ms() + (long)limit_ms;

	for (;;) {
		char *now = state_fds(trace_manager());
		bool within = state_has_all(op->fds, now), late = now_ms() > end;

		if (!within && late)
			state_diff(op->fds, now);
		if (within) {
			free(op->fds);
			op->fds = now;
			return true;
		}
		free(now);
		if (late)
			return false;
		settle();
		trace_serve(5);
	}
}

static bool done_again(struct op *op)
{
	if (run(op->todo))
		return bad("it fails without a fault");
	if (state_is(op->after, NULL))
		return bad("done again, it is not what it was");
	if (!undone(op))
		return false;
	return !op->fds || fds_are(op) || bad("other descriptors");
}

/*
 * The next manager takes over. What was cut off in the middle of its work is done once more: so it
 * is with what begins or ends a fabric, and with what takes away many things.
 */
static int after_kill(const struct op *op)
{
	const bool lifecycle = !begins_alive(op) || !ends_alive(op);
	int is;

	if (!lifecycle && !trace_manager() && run("@up")) {
		bad("the next manager");
		return -1;
	}
	settle();
	is = lifecycle ? -1 : state_within(op->before, op->after, limit_ms / 4);
	if (is >= 0)
		return is;
	if (state_within(op->after, NULL, 0) && run(op->todo)) {
		bad("once more");
		return -1;
	}
	return state_is(op->after, NULL) ? -1 : AGAIN;
}

static int after_error(const struct op *op, int status)
{
	char text[512];
	int is;

	said(text, sizeof(text));
	if (begins_alive(op) && ends_alive(op) && !trace_manager()) {
		if (strcmp(op->todo, "@adopt") || !text[0]) {
			bad("the manager ended");
			return -1;
		}
		if (run("@up")) {
			bad("the next manager");
			return -1;
		}
		return state_is(op->before, NULL);
	}
	if (status && strstr(text, "went away")) /* the answer itself was what failed */
		return state_is(op->before, op->after);
	is = status ? state_is(op->before, NULL) : state_is(op->after, NULL);
	if (is)
		bad(status ? "failed, and left something" : "worked, and not all is there");
	else if (status && !text[0]) {
		bad("failed without a word");
		is = -1;
	}
	return is ? -1 : status ? AS_BEFORE : AS_AFTER;
}

/* Whatever happened, the next row begins as the first one. */
static void restore(const struct op *op)
{
	run(op->todo);
	run(op->undo);
	trace_kill_manager();
	if (begins_alive(op))
		run("@up");
	else
		run("ipn-fabric down");
	settle();
	if (state_is(op->before, NULL) != AS_BEFORE)
		errx(1, "%s: what was before does not come back", op->name);
}

static bool row(struct op *op, size_t fault, size_t at)
{
	const struct fault f = { at, faults[fault].error };
	int status, is;

	trace_mark(f);
	status = run(op->todo);
	settle();
	trace_unmark();
	if (verbose || status < 0)
		printf("  %ld %s %s at %zu of %zu: %s of %s: %s\n", now_ms(), op->name,
		       faults[fault].name, at, op->ncalls, rules_name(&trace.at),
		       trace.hit ? trace.who : "nobody",
		       status ? status < 0 ? "hangs" : "failed" : "worked");
	if (!trace.hit) /* fewer calls than the last time */
		return undone(op);
	is = status < 0 ? -1 : f.error ? after_error(op, status) : after_kill(op);
	if (is < 0)
		return false;
	if (is != AS_BEFORE && strcmp(op->before, op->after) && !undone(op))
		return false;
	op->rows[fault][is]++;
	return !strcmp(op->todo, "@adopt") || done_again(op);
}

static void row_try(struct op *op, size_t fault, size_t at)
{
	if (row(op, fault, at))
		return;
	printf("WRONG %s, %s at call %zu: %s of %s\n", op->name, faults[fault].name, at,
	       rules_name(&trace.at), trace.who);
	fflush(stdout);
	op->wrong++;
	if (++wrong >= 40)
		errx(1, "too much is wrong");
	restore(op);
}

/* --- an operation ------------------------------------------------------------------------------*/

/*
 * Is the fault to be tried at this call? A long operation has loops: of calls that come by the same
 * way only the first, the last and some by chance.
 */
static bool worth(const struct op *op, size_t fault, size_t at)
{
	const struct call *call = &op->calls[at - 1];
	bool first = true, last = true;

	if (faults[fault].error && !rules_can_fail(call, faults[fault].error))
		return false;
	if (!faults[fault].error && at > 1 && !rules_changes(&op->calls[at - 2]))
		return false;
	if (op->ncalls <= LONG)
		return true;
	for (size_t i = 0; i < op->ncalls; i++)
		if (op->calls[i].place == call->place && op->calls[i].cmd == call->cmd) {
			first = first && i >= at - 1;
			last = last && i <= at - 1;
		}
	return first || last || random() % 64 == 0;
}

static void column(struct op *op, size_t fault)
{
	size_t *at = calloc(op->ncalls + 1, sizeof(*at)), n = 0;

	for (size_t k = 1; k <= op->ncalls; k++)
		if (worth(op, fault, k))
			at[n++] = k;
	for (size_t i = 0; i < n && (!row_limit || i < row_limit); i++) {
		size_t j = i + (row_limit ? (size_t)random() % (n - i) : 0), k = at[j];

		at[j] = at[i];
		row_try(op, fault, k);
	}
	free(at);
}

/* Twice without a fault: what is made when it is first needed is there then. */
static void measure(struct op *op)
{
	for (int i = 0; i < 2; i++) {
		free(op->before);
		free(op->after);
		op->before = state_get();
		trace_mark((struct fault){ 0, 0 });
		if (run(op->todo)) {
			bad("without a fault");
			errx(1, "%s does not work", op->name);
		}
		settle();
		trace_unmark();
		op->ncalls = trace.ncalls;
		op->calls = realloc(op->calls, trace.ncalls * sizeof(*op->calls));
		memcpy(op->calls, trace.calls, trace.ncalls * sizeof(*op->calls));
		op->after = state_get();
		if (run(op->undo)) {
			bad("undo");
			errx(1, "%s cannot be undone", op->name);
		}
		settle();
	}
	if (state_is(op->before, NULL) != AS_BEFORE)
		errx(1, "%s leaves something without a fault", op->name);
}

static void table_row(const struct op *op)
{
	printf("%-12s %6zu", op->name, op->ncalls);
	printf("  %5u %5u %5u", op->rows[0][AS_BEFORE], op->rows[0][AS_AFTER], op->rows[0][AGAIN]);
	for (size_t i = 1; i < FAULTS; i++)
		printf("  %5u %5u", op->rows[i][AS_BEFORE], op->rows[i][AS_AFTER]);
	printf("  %5u  %ld s\n", op->wrong, (now_ms() - op->began) / 1000);
	fflush(stdout);
}

static void operation(struct op *op)
{
	if (begins_alive(op) && !trace_manager() && run("@up"))
		errx(1, "%s: no manager", op->name);
	if (!begins_alive(op))
		run("ipn-fabric down");
	settle();
	op->began = now_ms();
	measure(op);
	for (size_t i = 0; i < FAULTS; i++) {
		/* a manager that took over has other descriptors than one that made it all */
		free(op->fds);
		op->fds = NULL;
		if (begins_alive(op) && ends_alive(op)) {
			trace_kill_manager();
			if (run("@up") || !done_again(op))
				errx(1, "%s: the next manager", op->name);
			trace_serve_for(500); /* until the sessions of all that are closed */
			op->fds = state_fds(trace_manager());
		}
		column(op, i);
	}
	table_row(op);
}

int main(int argc, char **argv)
{
	const char *name = "";
	regex_t only;
	unsigned int seed = (unsigned int)time(NULL);
	int o;

	while ((o = getopt(argc, argv, "n:s:l:k:v")) != -1) {
		if (o == 'n')
			row_limit = (unsigned int)atoi(optarg);
		else if (o == 's')
			seed = (unsigned int)strtoul(optarg, NULL, 0);
		else if (o == 'l')
			limit_ms = 1000 * (unsigned int)atoi(optarg);
		else if (o == 'k')
			name = optarg;
		else if (o == 'v')
			verbose = true;
		else
			return 2;
	}
	if (regcomp(&only, name, REG_EXTENDED | REG_NOSUB))
		return 2;
	srandom(seed);
	setvbuf(stdout, NULL, _IOLBF, 0);
	out_fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (out_fd < 0)
		err(1, "/tmp");
	trace_begin();
	printf("seed %u\n%-12s %6s  %-17s  %-11s  %-11s  %-11s  %-11s\n", seed, "", "", "killed",
	       "ENOMEM", "EMFILE", "EINTR", "EPERM");
	printf("%-12s %6s  %5s %5s %5s", "operation", "calls", "clean", "adopt", "again");
	for (size_t i = 1; i < FAULTS; i++)
		printf("  %5s %5s", "fail", "work");
	printf("  wrong\n");
	for (; optind + 2 < argc; optind += 3) {
		struct op op = { .name = argv[optind],
				 .todo = argv[optind + 1],
				 .undo = argv[optind + 2] };

		if (!regexec(&only, op.name, 0, NULL, 0))
			operation(&op);
	}
	return wrong != 0;
}
