// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Powers apart. Every process of the fabric begins as root with all there is, and gives up what it
 * does not need before it reads anything that others wrote:
 *
 *	manager   before it reads its configuration and pins (manager.c). It keeps the capabilities
 *		  of the table below
 *	fdstore   before it takes its first packet (fdstore/store.c). It keeps none, is in a network
 *		  namespace without interfaces, and cannot open anything
 *	loader    before it reads the policy (policies/loader.c). It keeps what bpf(2) asks for, the
 *		  file, the way back and the shared maps; namespaces and a root of its own
 *	helper    after it has taken the identity of the user that it acts for
 *		  (access/asuser_child.c). It keeps what that user has over files
 *
 * System calls. The lists are made from annotations beside the code that needs each call
 * (scripts/seccomp-lists). A process that the manager starts is under the manager's filter and its
 * own, so each call of the others that they make after fork() is annotated for the manager, too,
 * until they have their own. There are three answers:
 *
 *	listed      done
 *	never       kills the process, with an audit record. No version of any library does these
 *		    on behalf of this program: they change the kernel, other processes or the
 *		    mounts of the host. Who calls them is not our code any more
 *	all others  ENOSYS, with an audit record ("type=1326" in the kernel's log). A new version
 *		    of a library may try a call that is not listed yet. To kill the manager for
 *		    that would be worse than one request that fails; and for ENOSYS, but not for
 *		    EPERM, libraries have an answer: what they did before there was that call
 *
 * A filter sees numbers and flags, not memory: that the one program that the manager executes is
 * this one (the fdstore) is not checked, nor which namespaces clone3() makes. With no_new_privs,
 * another program would have no more than the manager has.
 */
#include "manager/access/powers.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/errtext.h"
#include "common/util.h"
#include "seccomp_lists.h"

#define CAP(name) (1ULL << CAP_##name)
#define CAPS_WORDS _LINUX_CAPABILITY_U32S_3

/*
 * A process that reports its own faults by a sanitizer needs more: it looks at itself by ptrace(2)
 * when it ends, and reads /proc. Then calls that are not listed are logged and done.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* What all of them do: memory, locks, signals, time, their end. */
/* seccomp: all: brk mmap munmap mremap madvise mprotect futex set_robust_list rseq */
/* seccomp: all: read write writev close fstat newfstatat */
/* seccomp: all: rt_sigaction rt_sigprocmask rt_sigreturn restart_syscall sigaltstack */
/* seccomp: all: clock_gettime clock_nanosleep nanosleep gettimeofday time sched_yield getrandom */
/* seccomp: all: getpid getppid gettid geteuid getuid getegid getgid tgkill exit exit_group */

/* Done by what is below, before the next filter is there. */
/* seccomp: manager: prctl seccomp capget capset unshare chroot fchdir chdir fsopen fsconfig */
/* seccomp: manager: fsmount close_range openat mkdir mkdirat sysinfo */

struct powers {
	const char *name;
	__u64 caps;
	const int *calls;
	size_t ncalls;
	bool code;      /* may map memory to be executed: who executes a program needs it */
	bool read_only; /* opens files for reading only */
	bool exec;      /* uid 0 gives capabilities at execve() */
};

static const struct powers kinds[] = {
	[POWERS_MANAGER] = {
		.name = "manager",
		.caps = CAP(NET_ADMIN)       /* interfaces, qdiscs, XDP and tc programs */
			| CAP(NET_RAW)       /* sockets of AF_XDP */
			| CAP(BPF)           /* maps and programs */
			| CAP(PERFMON)       /* programs that follow kernel pointers */
			| CAP(SYS_ADMIN)     /* setns() to the namespaces of ports; bpffs */
			| CAP(SYS_CHROOT)    /* an empty root for children; setns() to mounts */
			| CAP(SYS_PTRACE)    /* /proc/PID of clients */
			| CAP(IPC_LOCK)      /* rings of AF_XDP, where memory is limited */
			| CAP(KILL)          /* helpers that a user's file system holds up */
			| CAP(SETUID)        /* permissions are checked as the client */
			| CAP(SETGID)
			| CAP(SETPCAP)       /* children give up their bounding set */
			| CAP(CHOWN)         /* paths of networks belong to who asked */
			| CAP(FOWNER)
			| CAP(DAC_OVERRIDE)  /* and are where only that user may go */
			| CAP(DAC_READ_SEARCH),
		.calls = calls_manager,
		.ncalls = ARRAY_SIZE(calls_manager),
		.code = true,
		.exec = true,
	},
	[POWERS_FDSTORE] = {
		.name = "fdstore",
		.calls = calls_fdstore,
		.ncalls = ARRAY_SIZE(calls_fdstore),
	},
	[POWERS_LOADER] = {
		.name = "loader",
		.caps = CAP(BPF) | CAP(PERFMON) | CAP(NET_ADMIN),
		.calls = calls_loader,
		.ncalls = ARRAY_SIZE(calls_loader),
		.read_only = true,
	},
	[POWERS_HELPER] = {
		.name = "helper",
		/* of these, what its user has */
		.caps = CAP(CHOWN) | CAP(FOWNER) | CAP(DAC_OVERRIDE) | CAP(DAC_READ_SEARCH),
		.calls = calls_helper,
		.ncalls = ARRAY_SIZE(calls_helper),
	},
};

/* Those of the second answer. Whatever the sources say, they are in no list. */
static const int never[] = {
	/* the kernel itself, and all of the machine */
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(syslog),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(quotactl),
	/* other processes */
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(migrate_pages),
	SCMP_SYS(move_pages),
	/* mounts: an empty root is a detached one, which is in no place */
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(pivot_root),
	SCMP_SYS(open_by_handle_at),
	/* what attacks on the kernel are made with */
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(modify_ldt),
	SCMP_SYS(personality),
	SCMP_SYS(perf_event_open),
};

/* --- capabilities ------------------------------------------------------------------------------*/

static bool has_setpcap(const struct __user_cap_data_struct *caps)
{
	return caps[CAP_TO_INDEX(CAP_SETPCAP)].effective & CAP_TO_MASK(CAP_SETPCAP);
}

/* What execve() could give. Without CAP_SETPCAP nobody can make that less. */
static int bounding_drop(__u64 keep)
{
	for (unsigned int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	return 0;
}

static int securebits_lock(bool exec)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (bits < 0)
		return -errno;
	bits |= SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (!exec)
		bits |= SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) ? -errno : 0;
}

static int caps_reduce(const struct powers *p)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[CAPS_WORDS];
	int r = 0;

	if (syscall(SYS_capget, &hdr, caps))
		return -errno;
	if (has_setpcap(caps)) {
		r = bounding_drop(p->caps);
		if (!r)
			r = securebits_lock(p->exec);
	}
	if (r)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	for (unsigned int i = 0; i < CAPS_WORDS; i++) {
		caps[i].permitted &= (__u32)(p->caps >> 32 * i);
		caps[i].effective &= caps[i].permitted;
		caps[i].inheritable = 0;
	}
	return syscall(SYS_capset, &hdr, caps) ? -errno : 0;
}

/* --- system calls ------------------------------------------------------------------------------*/

static bool listed(const int *calls, size_t n, int call)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i] == call)
			return true;
	return false;
}

/* Sockets of these families only. Which of them a process may make itself is up to its list. */
static int socket_allow(scmp_filter_ctx filter, int call)
{
	static const unsigned int families[] = { AF_UNIX, AF_NETLINK, AF_PACKET, AF_XDP };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(families); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				     SCMP_A0(SCMP_CMP_EQ, families[i]));
	return r;
}

/*
 * bpf(2) for a process without CAP_SYS_ADMIN: it may not ask which type information there is of
 * modules. libbpf does, for a function that the kernel itself has not got, and takes ENOENT for
 * the end of the list.
 */
static int bpf_allow(scmp_filter_ctx filter, int call)
{
	int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), call, 1,
				 SCMP_A0(SCMP_CMP_EQ, BPF_BTF_GET_NEXT_ID));

	return r ? r
		 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				    SCMP_A0(SCMP_CMP_NE, BPF_BTF_GET_NEXT_ID));
}

static int call_allow(scmp_filter_ctx filter, const struct powers *p, int call)
{
	const bool maps = call == SCMP_SYS(mmap) || call == SCMP_SYS(mprotect);

	if (listed(never, ARRAY_SIZE(never), call))
		return -EINVAL;
	if (call == SCMP_SYS(socket))
		return socket_allow(filter, call);
	if (call == SCMP_SYS(bpf) && !(p->caps & CAP(SYS_ADMIN)))
		return bpf_allow(filter, call);
	if (maps && !p->code)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (call == SCMP_SYS(openat) && p->read_only)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
						O_RDONLY));
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
}

static int filter_fill(scmp_filter_ctx filter, const struct powers *p)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* it is set already */
	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !r && i < p->ncalls; i++)
		r = call_allow(filter, p, p->calls[i]);
	for (size_t i = 0; !r && !SANITIZED && i < ARRAY_SIZE(never); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, never[i], 0);
	return r;
}

static int calls_reduce(const struct powers *p)
{
	scmp_filter_ctx filter = seccomp_init(SANITIZED ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS));
	int r = filter ? filter_fill(filter, p) : -ENOMEM;

	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int powers_reduce(enum powers_kind kind, struct errtext *e)
{
	const struct powers *p = &kinds[kind];
	int r = caps_reduce(p);

	if (r)
		return err_text(e, r, "cannot give up capabilities (%s): %s", p->name,
				strerror(-r));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_text(e, -errno, "cannot set no_new_privs (%s): %s", p->name,
				strerror(errno));
	r = calls_reduce(p);
	if (r)
		return err_text(e, r, "cannot set the filter of system calls (%s): %s", p->name,
				strerror(-r));
	return 0;
}

/* --- file system, network, descriptors ---------------------------------------------------------*/

#define BTF_FILE "/sys/kernel/btf/vmlinux"
#define COPY_SIZE 65536

/* The new root is a tmpfs that is mounted nowhere. */
static int root_empty(void)
{
	_cleanup_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	_cleanup_close_ int root = -1;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", "64m", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	root = fsmount(fs, FSMOUNT_CLOEXEC,
		       MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root < 0 || fchdir(root) || chroot(".") || chdir("/"))
		return -errno;
	return 0;
}

static int copy(int from, int to)
{
	_cleanup_free_ char *buf = malloc(COPY_SIZE);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while ((n = read(from, buf, COPY_SIZE)) > 0)
		if (write(to, buf, (size_t)n) != n)
			return -EIO;
	return n < 0 ? -errno : 0;
}

static int btf_copy(int from)
{
	_cleanup_close_ int to = -1;

	if (mkdir("/sys", 0755) || mkdir("/sys/kernel", 0755) || mkdir("/sys/kernel/btf", 0755))
		return -errno;
	to = open(BTF_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return to < 0 ? -errno : copy(from, to);
}

int powers_isolate(struct errtext *e)
{
	_cleanup_close_ int btf = open(BTF_FILE, O_RDONLY | O_CLOEXEC);
	int r = unshare(CLONE_NEWNET | CLONE_NEWNS) ? -errno : 0;

	if (r)
		return err_text(e, r, "cannot make namespaces for it: %s", strerror(-r));
	r = root_empty();
	if (!r && btf >= 0)
		r = btf_copy(btf);
	return r ? err_text(e, r, "cannot make an empty root for it: %s", strerror(-r)) : 0;
}

static int int_compare(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

int powers_close_others(int *fds, size_t n)
{
	unsigned int from = 0;

	qsort(fds, n, sizeof(*fds), int_compare);
	for (size_t i = 0; i < n; i++) {
		const unsigned int fd = (unsigned int)fds[i];

		if (fd > from && close_range(from, fd - 1, 0))
			return -errno;
		if (fd >= from)
			from = fd + 1;
	}
	return close_range(from, ~0U, 0) ? -errno : 0;
}
