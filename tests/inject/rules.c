// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules.h"

#include <errno.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define NOMEM 1u
#define MFILE 2u
#define INTR 4u
#define PERM 8u
#define ALL 15u
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct rule {
	unsigned int never; /* these errors are not given */
	bool others;        /* by any call but these */
	const char *calls;
	const char *why;
};

static const struct rule rules[] = {
	/* --- calls that do not fail --- */
	{ ALL, false, "exit exit_group rt_sigreturn restart_syscall", "they do not return" },
	{ ALL, false, "close", "the descriptor is gone, whatever close says" },
	{ ALL, false, "futex", "fails only by wrong arguments; glibc ends the process then" },
	{ ALL, false, "getpid gettid getppid getuid geteuid getgid getegid umask sched_yield",
	  "cannot fail" },
	{ ALL, false, "clock_gettime gettimeofday time clock_nanosleep nanosleep uname",
	  "fail only by wrong arguments" },
	{ ALL, false, "set_tid_address set_robust_list rseq arch_prctl sched_getaffinity",
	  "of glibc's start of a thread, with arguments that are right" },
	{ ALL, false, "rt_sigaction rt_sigprocmask sigaltstack tgkill getrandom sysinfo prlimit64",
	  "fail only by wrong arguments" },
	{ ALL, false, "munmap madvise", "give memory back, and nobody looks at the result" },
	{ ALL & ~NOMEM, false, "brk mmap mprotect mremap",
	  "without a file: memory is all they want" },
	{ NOMEM | PERM, false, "unlink",
	  "of the pin of an interface that is gone: it stays until the next manager removes it" },
	/* --- errors that a call has not got --- */
	{ INTR, true, "poll ppoll epoll_wait epoll_pwait waitid wait4 flock openat openat2 open",
	  "only these wait: the manager's sockets do not, and it has no handlers of signals" },
	{ MFILE, true,
	  "openat openat2 open socket socketpair accept4 dup dup3 fcntl epoll_create1 eventfd2 "
	  "timerfd_create signalfd4 pipe2 memfd_create bpf pidfd_open inotify_init1 fsopen fsmount "
	  "ioctl",
	  "these make a descriptor, and no other" },
	{ NOMEM | PERM, false, "epoll_wait epoll_pwait", "it gives EINTR and nothing else" },
	{ NOMEM | PERM, false, "waitid wait4", "they find the child, or are interrupted" },
	{ PERM, false,
	  "read write readv writev pread64 pwrite64 recvmsg recvfrom accept4 poll ppoll lseek "
	  "fstat getdents64 fstatfs getsockopt setsockopt getsockname shutdown ftruncate flock "
	  "listen dup dup2 dup3 epoll_ctl timerfd_settime inotify_rm_watch",
	  "who may was asked when the descriptor was made" },
	{ NOMEM, false,
	  "lseek dup dup2 dup3 shutdown timerfd_settime getsockname getsockopt ftruncate fcntl "
	  "listen pidfd_send_signal kill inotify_rm_watch",
	  "take no memory" },
	{ PERM, false,
	  "epoll_create1 eventfd2 timerfd_create signalfd4 pipe2 memfd_create socketpair "
	  "inotify_init1 getcwd readlink readlinkat getgroups getresuid getresgid capget",
	  "anybody may" },
	{ NOMEM, false, "getgroups getresuid getresgid capget access getcwd", "take no memory" },
};

/* After these nothing is other but the process itself: a kill behind them is one in front. */
static const char unchanging[] =
	"brk mmap munmap mprotect mremap madvise futex clock_gettime gettimeofday time nanosleep "
	"clock_nanosleep getpid gettid getppid getuid geteuid getgid getegid uname sysinfo "
	"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack getrandom sched_getaffinity "
	"sched_yield set_robust_list set_tid_address rseq arch_prctl prlimit64 close read pread64 "
	"readlink readlinkat lseek fstat newfstatat statx stat lstat fstatfs statfs getdents64 "
	"access faccessat faccessat2 getsockopt getsockname fcntl dup dup3 poll ppoll epoll_wait "
	"epoll_pwait epoll_ctl epoll_create1 eventfd2 timerfd_create timerfd_settime signalfd4 "
	"recvmsg recvfrom prctl capget capset getgroups getresuid getresgid umask inotify_init1 "
	"inotify_add_watch inotify_rm_watch socket setsockopt memfd_create pidfd_open waitid "
	"wait4 pipe2 socketpair setns openat2";

static const struct {
	const char *name;
	unsigned int cmd;
	bool descriptor, changes;
} bpf_commands[] = {
	{ "MAP_CREATE", BPF_MAP_CREATE, true, false },
	{ "MAP_LOOKUP_ELEM", BPF_MAP_LOOKUP_ELEM, true, false }, /* of maps of maps: an id */
	{ "MAP_UPDATE_ELEM", BPF_MAP_UPDATE_ELEM, false, true },
	{ "MAP_DELETE_ELEM", BPF_MAP_DELETE_ELEM, false, true },
	{ "MAP_GET_NEXT_KEY", BPF_MAP_GET_NEXT_KEY, false, false },
	{ "PROG_LOAD", BPF_PROG_LOAD, true, false },
	{ "OBJ_PIN", BPF_OBJ_PIN, false, true },
	{ "OBJ_GET", BPF_OBJ_GET, true, false },
	{ "PROG_ATTACH", BPF_PROG_ATTACH, false, true },
	{ "PROG_DETACH", BPF_PROG_DETACH, false, true },
	{ "PROG_TEST_RUN", BPF_PROG_TEST_RUN, false, true },
	{ "PROG_GET_FD_BY_ID", BPF_PROG_GET_FD_BY_ID, true, false },
	{ "MAP_GET_FD_BY_ID", BPF_MAP_GET_FD_BY_ID, true, false },
	{ "OBJ_GET_INFO_BY_FD", BPF_OBJ_GET_INFO_BY_FD, false, false },
	{ "BTF_LOAD", BPF_BTF_LOAD, true, false },
	{ "BTF_GET_FD_BY_ID", BPF_BTF_GET_FD_BY_ID, true, false },
	{ "BTF_GET_NEXT_ID", BPF_BTF_GET_NEXT_ID, false, false },
	{ "MAP_LOOKUP_BATCH", BPF_MAP_LOOKUP_BATCH, false, false },
	{ "MAP_UPDATE_BATCH", BPF_MAP_UPDATE_BATCH, false, true },
	{ "MAP_FREEZE", BPF_MAP_FREEZE, false, false },
	{ "LINK_CREATE", BPF_LINK_CREATE, true, true },
	{ "LINK_UPDATE", BPF_LINK_UPDATE, false, true },
	{ "LINK_DETACH", BPF_LINK_DETACH, false, true },
	{ "PROG_BIND_MAP", BPF_PROG_BIND_MAP, false, false },
};

static int command_find(const struct call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(bpf_commands); i++)
		if (call->nr == SYS_bpf && bpf_commands[i].cmd == call->cmd)
			return (int)i;
	return -1;
}

static const char *call_name(int nr)
{
	static char *names[512];

	if (nr < 0 || nr >= (int)ARRAY_SIZE(names))
		return "?";
	if (!names[nr])
		names[nr] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
	return names[nr] ? names[nr] : "?";
}

const char *rules_name(const struct call *call)
{
	static char text[64];
	int at = command_find(call);

	if (call->nr != SYS_bpf)
		return call_name(call->nr);
	snprintf(text, sizeof(text), "bpf %s", at < 0 ? "?" : bpf_commands[at].name);
	return text;
}

static bool listed(const char *list, const char *word)
{
	const size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static unsigned int bit_of(int error)
{
	return error == ENOMEM ? NOMEM : error == EMFILE ? MFILE : error == EINTR ? INTR : PERM;
}

bool rules_can_fail(const struct call *call, int error)
{
	const char *name = call_name(call->nr);
	int at = command_find(call);

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if ((rules[i].never & bit_of(error)) &&
		    listed(rules[i].calls, name) != rules[i].others)
			return false;
	return error != EMFILE || at < 0 || bpf_commands[at].descriptor;
}

bool rules_changes(const struct call *call)
{
	int at = command_find(call);

	return at < 0 ? !listed(unchanging, call_name(call->nr)) : bpf_commands[at].changes;
}
