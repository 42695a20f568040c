// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One thread does everything: it waits for stops and ends of children by SIGCHLD, which is blocked.
 * While calls are counted each one stops twice; else they cost nothing. A call that shall fail is
 * not made: its number becomes -1 at the entry, and its result is written at the exit.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rules.h"
#include "trace.h"

#define TASKS 256
#define CALLS_MAX 100000
#define EXTRA                                                                                     \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
	 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

struct task {
	pid_t tid, tgid;
	bool failing; /* its call fails when it stops again */
	bool asked;   /* to stop, so that from then on its calls are counted */
};

static struct task tasks[TASKS];
static size_t ntasks;
static pid_t starter, manager;
static pid_t started; /* last, by trace_up or trace_command */
static int status_of_started;
static bool counting;
struct trace trace;

void trace_begin(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	trace.calls = calloc(CALLS_MAX, sizeof(*trace.calls));
	if (!trace.calls)
		err(1, "memory");
}

static struct task *task_find(pid_t tid)
{
	for (size_t i = 0; i < ntasks; i++)
		if (tasks[i].tid == tid)
			return &tasks[i];
	return NULL;
}

static pid_t tgid_of(pid_t tid)
{
	char path[64], line[128];
	pid_t tgid = tid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	if (f)
		fclose(f);
	return tgid;
}

static struct task *task_add(pid_t tid)
{
	struct task *t = task_find(tid);

	if (t)
		return t;
	if (ntasks == TASKS)
		errx(1, "more than %d tasks", TASKS);
	t = &tasks[ntasks++];
	*t = (struct task){ .tid = tid, .tgid = tgid_of(tid) };
	return t;
}

static void name_of(pid_t pid, char name[16])
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%15s", name) != 1)
		snprintf(name, 16, "?");
	if (f)
		fclose(f);
}

/* --- calls -------------------------------------------------------------------------------------*/

static void fault_hit(struct task *t)
{
	struct user_regs_struct regs;

	trace.hit = true;
	name_of(t->tgid, trace.who);
	if (t->tgid == manager)
		strcpy(trace.who, "manager");
	if (!trace.fault.error) {
		kill(t->tgid, SIGKILL);
		return;
	}
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs))
		return;
	regs.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, t->tid, NULL, &regs);
	t->failing = true;
}

static void call_entry(struct task *t, const struct __ptrace_syscall_info *info)
{
	if (!counting || t->tgid == starter || trace.ncalls == CALLS_MAX)
		return;
	trace.at = (struct call){
		.nr = (int)info->entry.nr,
		.cmd = info->entry.nr == SYS_bpf ? (uint32_t)info->entry.args[0] : 0,
		.place = info->stack_pointer * 31 + info->instruction_pointer,
	};
	trace.calls[trace.ncalls++] = trace.at;
	/* the order is not the same each time: the first from there on that can fail so */
	if (!trace.fault.at || trace.ncalls < trace.fault.at ||
	    (trace.fault.error && !rules_can_fail(&trace.at, trace.fault.error)))
		return;
	counting = false;
	fault_hit(t);
}

static void call_exit(struct task *t)
{
	struct user_regs_struct regs;

	if (!t->failing)
		return;
	t->failing = false;
	if (ptrace(PTRACE_GETREGS, t->tid, NULL, &regs))
		return;
	regs.rax = (unsigned long long)-trace.fault.error;
	ptrace(PTRACE_SETREGS, t->tid, NULL, &regs);
}

static void call_stop(struct task *t)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		call_entry(t, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		call_exit(t);
}

/* --- stops and ends ----------------------------------------------------------------------------*/

static void task_ended(struct task *t, pid_t pid, int status)
{
	if (t)
		*t = tasks[--ntasks];
	if (pid == manager)
		manager = 0;
	if (pid == started) {
		started = 0;
		status_of_started = status;
	}
}

/* With execve a thread takes the number of its process. */
static void task_event(struct task *t, int event)
{
	unsigned long value = 0;

	ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &value);
	if (event == PTRACE_EVENT_EXEC)
		t->tgid = t->tid;
	else if (event == PTRACE_EVENT_FORK && t->tgid == starter && !manager)
		manager = (pid_t)value;
}

static void task_stopped(struct task *t, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;

	t->asked = false; /* by any stop: the kernel forgets the one that was asked for */
	if (signal == (SIGTRAP | 0x80)) {
		call_stop(t);
		signal = 0;
	} else if (event) {
		task_event(t, event);
		signal = 0;
	}
	ptrace(counting || t->failing ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, NULL, (long)signal);
}

/* One that we hear of before its parent says that it is there stops, too: it is one of ours. */
static bool serve_one(void)
{
	int status;
	pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);

	if (pid <= 0)
		return false;
	if (WIFSTOPPED(status))
		task_stopped(task_add(pid), status);
	else
		task_ended(task_find(pid), pid, status);
	return true;
}

void trace_serve(int ms)
{
	const struct timespec wait = { ms / 1000, ms % 1000 * 1000000L };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (serve_one()) {
		while (serve_one())
			;
		return;
	}
	sigtimedwait(&set, NULL, &wait);
	while (serve_one())
		;
}

void trace_serve_for(int ms)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		trace_serve(ms);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}

static bool task_sleeps(pid_t tid)
{
	char path[64], state = '?', text[512];
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	end = strrchr(text, ')');
	if (end)
		state = end[2];
	return state == 'S';
}

bool trace_idle(void)
{
	if (serve_one())
		return false;
	for (size_t i = 0; i < ntasks; i++)
		if (!task_sleeps(tasks[i].tid))
			return false;
	return !serve_one();
}

bool trace_ended(int *status)
{
	*status = status_of_started;
	return !started;
}

/* --- what is started ---------------------------------------------------------------------------*/

static void child_begin(int out)
{
	sigset_t set;

	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	dup2(out, 1);
	dup2(out, 2);
}

void trace_command(const char *command, int out)
{
	started = fork();
	if (started < 0)
		err(1, "fork");
	if (started)
		return;
	child_begin(out);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

void trace_up(int out)
{
	int go[2];
	char byte = 0;

	if (pipe2(go, O_CLOEXEC))
		err(1, "pipe");
	starter = started = fork();
	if (starter < 0)
		err(1, "fork");
	if (!starter) {
		child_begin(out);
		if (read(go[0], &byte, 1) == 1)
			execlp("ipn-fabric", "ipn-fabric", "up", (char *)NULL);
		_exit(127);
	}
	manager = 0;
	if (ptrace(PTRACE_SEIZE, starter, NULL, EXTRA))
		err(1, "ptrace");
	task_add(starter);
	/* it waits in its read, and stops before it goes on */
	ptrace(PTRACE_INTERRUPT, starter, NULL, NULL);
	if (write(go[1], &byte, 1) != 1)
		err(1, "pipe");
	close(go[0]);
	close(go[1]);
}

void trace_mark(struct fault fault)
{
	size_t asked = 1;

	trace.ncalls = 0;
	trace.hit = false;
	trace.fault = (struct fault){ 0, 0 };
	counting = true;
	for (size_t i = 0; i < ntasks; i++)
		tasks[i].asked = !ptrace(PTRACE_INTERRUPT, tasks[i].tid, NULL, NULL);
	while (asked) {
		trace_serve(10);
		asked = 0;
		for (size_t i = 0; i < ntasks; i++)
			asked += tasks[i].asked;
	}
	trace.ncalls = 0;
	trace.fault = fault;
}

void trace_unmark(void)
{
	counting = false;
}

pid_t trace_manager(void)
{
	return manager;
}

void trace_kill_manager(void)
{
	if (!manager)
		return;
	kill(manager, SIGKILL);
	while (manager)
		trace_serve(100);
}
