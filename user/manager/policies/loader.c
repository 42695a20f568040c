// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The file is hostile until the kernel's verifier has passed it. It is read, parsed and loaded in a
 * process of its own: whatever it does to that process, and however long it takes, the manager
 * goes on with its other work. Before that process reads anything it gives up what it could do harm
 * with (powers.c): it has the file, the maps that policies share, and the way back, no other
 * descriptor; an empty root, no network, few system calls, and limits of memory and time. What
 * comes back is one message: descriptors of programs and maps, and their names, or why there are
 * none. The manager trusts it no further than the file itself: it checks the names, pins, and lets
 * the kernel refuse programs that are not of the kind that they are used as.
 *
 * From the request to the end of the process there is a struct loading, owned by the manager and
 * known to the session that asked:
 *	ends by itself     what came is pinned, renamed and opened, or its words passed on
 *	takes too long     it is killed, then the same: ETIMEDOUT
 *	the session ends   it is killed, and waited for
 *	the manager ends   the same
 *	the manager dies   the kernel kills it, and the next manager removes NUMBER_new
 */
#include "manager/policies/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <fcntl.h>
#include <gelf.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/errtext.h"
#include "common/fdpass.h"
#include "common/text.h"
#include "common/util.h"
#include "hooks.skel.h"
#include "manager/access/powers.h"
#include "manager/kernel/bpf.h"
#include "manager/policies/policy.h"

#define FILE_MAX (4UL << 20)   /* bytes of an object */
#define MAPS_MAX (256UL << 20) /* bytes of all maps of its own */
#define LOAD_MS 10000
#define LOG_SIZE (8UL << 20) /* of the verifier; touched only as far as it writes */
#define MEMORY (1UL << 30)   /* address space of the process, beyond what it began with */
#define FILES_MAX 1024       /* its descriptors */
#define OBJECTS_MAX 128      /* programs and maps of a policy */
#define OBJECT_NAME_MAX 72

/* A policy on its way: the process that loads it, and who wants to know. */
struct loading {
	struct policies *ps;
	struct loading *next, *prev;
	__u32 number;
	char name[IPN_POLICY_NAME_MAX];
	pid_t pid;
	int in; /* its result */
	bool timed_out;
	sd_event_source *exit, *timer;
	policy_loaded_fn done;
	void *arg;
	struct loading **ref; /* of the session; NULL again when this goes */
};

/* What comes back, with `nobjects` descriptors. */
struct result {
	int err;
	struct errtext e;
	__u32 nobjects;
	char names[OBJECTS_MAX][OBJECT_NAME_MAX]; /* as they are pinned */
};

struct loader {
	struct policies *ps;
	pid_t parent;
	int file;
	__u32 number;
	const char *name;
	struct errtext *e;
	__u8 *data;
	size_t size;
	struct bpf_object *obj;
	char *log;
	struct result result;
	int objects[OBJECTS_MAX];
};

static char failed_prog[64]; /* whose load libbpf complained about */

static char first_words[256]; /* of libbpf, before it goes on to say what follows of it */

static int note_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[256], name[64];

	if (level != LIBBPF_WARN || failed_prog[0])
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	if (!first_words[0] && !strncmp(line, "libbpf: ", 8)) {
		line[strcspn(line, "\n")] = '\0';
		util_copy(first_words, sizeof(first_words), line + 8);
	}
	if (sscanf(line, "libbpf: prog '%63[^']': BPF program load failed", name) == 1)
		util_copy(failed_prog, sizeof(failed_prog), name);
	return 0;
}

/* seccomp: loader manager: fstat newfstatat pread64 */
static int file_read(struct loader *l)
{
	struct stat st;
	ssize_t n;

	if (fstat(l->file, &st))
		return err_text(l->e, -errno, "cannot be read: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_text(l->e, -EINVAL, "is not a regular file (give a BPF object)");
	if ((size_t)st.st_size > FILE_MAX)
		return err_text(l->e, -EFBIG, "has %lld bytes, a policy at most %lu",
				(long long)st.st_size, FILE_MAX);
	l->data = malloc(FILE_MAX + 1);
	if (!l->data)
		return -ENOMEM;
	/* to its end, wherever that is by now */
	while (l->size <= FILE_MAX) {
		n = pread(l->file, l->data + l->size, FILE_MAX + 1 - l->size, (off_t)l->size);
		if (n < 0)
			return err_text(l->e, -errno, "cannot be read: %s", strerror(errno));
		if (!n)
			return 0;
		l->size += (size_t)n;
	}
	return err_text(l->e, -EFBIG, "has more than %lu bytes", FILE_MAX);
}

/* What libbpf and libelf take for granted of what they read from memory. */
static int elf_check(struct loader *l)
{
	const unsigned char native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB
									       : ELFDATA2MSB;
	Elf64_Ehdr h;
	Elf64_Shdr s;

	if (l->size < SELFMAG || memcmp(l->data, ELFMAG, SELFMAG))
		return err_text(l->e, -ENOEXEC,
				"is not a BPF object (compile it with: clang -target bpf)");
	if (l->size < sizeof(h))
		return err_text(l->e, -ENOEXEC, "is cut off: %zu bytes", l->size);
	memcpy(&h, l->data, sizeof(h));
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_BPF || h.e_type != ET_REL)
		return err_text(l->e, -ENOEXEC,
				"is an ELF file for another machine, not a BPF object "
				"(compile it with: clang -target bpf)");
	if (h.e_ident[EI_DATA] != native)
		return err_text(l->e, -ENOEXEC, "is for a machine of the other byte order");
	if (h.e_shentsize != sizeof(s) || !h.e_shnum || h.e_shstrndx >= h.e_shnum ||
	    h.e_shoff > l->size || (size_t)h.e_shnum * sizeof(s) > l->size - h.e_shoff)
		return err_text(l->e, -ENOEXEC, "is cut off: its sections are not in its %zu bytes",
				l->size);
	for (unsigned int i = 0; i < h.e_shnum; i++) {
		memcpy(&s, l->data + h.e_shoff + i * sizeof(s), sizeof(s));
		if (s.sh_type != SHT_NOBITS && s.sh_type != SHT_NULL &&
		    (s.sh_offset > l->size || s.sh_size > l->size - s.sh_offset))
			return err_text(l->e, -ENOEXEC,
					"is cut off: a section ends behind its %zu bytes", l->size);
	}
	return 0;
}

/* Section `ipn_policy`: for which fabric was it compiled? */
static int mark_check(struct loader *l)
{
	struct ipn_policy_mark mark;
	Elf_Scn *scn = NULL;
	Elf_Data *data = NULL;
	GElf_Shdr s;
	size_t names;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)l->data, l->size);
	if (!elf || elf_getshdrstrndx(elf, &names)) {
		elf_end(elf);
		return err_text(l->e, -ENOEXEC, "cannot be read as an ELF file: %s",
				elf_errmsg(-1));
	}
	while (!data && (scn = elf_nextscn(elf, scn))) {
		const char *name = gelf_getshdr(scn, &s) ? elf_strptr(elf, names, s.sh_name) : NULL;

		if (name && !strcmp(name, "ipn_policy"))
			data = elf_getdata(scn, NULL);
	}
	if (data && data->d_buf && data->d_size >= sizeof(mark))
		memcpy(&mark, data->d_buf, sizeof(mark));
	else
		data = NULL;
	elf_end(elf);
	if (!data || mark.magic != IPN_POLICY_MAGIC)
		return err_text(l->e, -EINVAL,
				"is not a policy: it has no handlemsg (make one with IPN_POLICY or "
				"IPN_POLICY_SEND of ipn/policy.h)");
	if (mark.abi != IPN_ABI_VERSION || mark.call != sizeof(struct ipn_call))
		return err_text(
			l->e, -EPROTO,
			"was compiled for ABI %u, this fabric has %u (compile it again with "
			"the headers of this version)",
			mark.abi, IPN_ABI_VERSION);
	if (IPN_KIT_MAJOR_OF(mark.kit) != IPN_KIT_MAJOR ||
	    IPN_KIT_MINOR_OF(mark.kit) > IPN_KIT_MINOR)
		return err_text(l->e, -EPROTO,
				"was compiled with version %u.%u of the kit, this fabric has %u.%u "
				"(compile it again with the headers of this version)",
				IPN_KIT_MAJOR_OF(mark.kit), IPN_KIT_MINOR_OF(mark.kit),
				IPN_KIT_MAJOR, IPN_KIT_MINOR);
	return 0;
}

int policy_file_check(const __u8 *data, size_t size, struct errtext *e)
{
	struct loader l = { .data = (__u8 *)data, .size = size, .e = e };
	int r = elf_check(&l);

	return r ? r : mark_check(&l);
}

static bool pin_name_ok(const char *s)
{
	size_t len = strlen(s);

	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return len > 0 && len < 64;
}

/* Shared maps are the fabric's; the others are bounded. */
static int maps_prepare(struct loader *l)
{
	struct bpf_map *map;
	__u64 bytes = 0;

	bpf_object__for_each_map(map, l->obj) {
		const char *name = bpf_map__name(map);
		int fd = bpf_shared_map(l->ps->bpf, name);
		__u64 size;

		bpf_map__set_pin_path(map, NULL);
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			return err_text(l->e, -EINVAL, "map %s: struct_ops are no part of a policy",
					name);
		if (fd >= 0 && !bpf_map__is_internal(map)) {
			if (bpf_map__reuse_fd(map, fd))
				return err_text(l->e, -EINVAL, "map %s: cannot be shared", name);
			continue;
		}
		if (!bpf_map__is_internal(map) && !pin_name_ok(name))
			return err_text(l->e, -EINVAL, "a map has a name that is no identifier");
		size = (__u64)bpf_map__key_size(map) + bpf_map__value_size(map);
		if (size && bpf_map__max_entries(map) > MAPS_MAX / size)
			size = MAPS_MAX + 1;
		else
			size *= bpf_map__max_entries(map);
		bytes += size;
		if (bytes > MAPS_MAX)
			return err_text(l->e, -EINVAL,
					"map %s: the maps of a policy may take %lu MiB together",
					name, MAPS_MAX >> 20);
	}
	return 0;
}

/* Which callback is the program? -1: none. */
static int call_of(const char *name)
{
	for (int i = 0; i < IPN_CALLS; i++)
		if (!strncmp(name, "ipn_", 4) && !strcmp(name + 4, policy_call_name(i)))
			return i;
	return -1;
}

/* Exactly one handlemsg for each hook, and callbacks. */
static int progs_check(struct loader *l)
{
	struct bpf_program *prog;
	int xdp = 0, tc = 0, sk = 0;

	bpf_object__for_each_program(prog, l->obj) {
		const char *name = bpf_program__name(prog);
		enum bpf_prog_type type = bpf_program__type(prog);

		if (type == BPF_PROG_TYPE_XDP && !strncmp(name, "ipn_xdp_", 8))
			xdp++;
		else if (type == BPF_PROG_TYPE_SCHED_CLS && !strncmp(name, "ipn_tc_", 7))
			tc++;
		else if (type == BPF_PROG_TYPE_SK_SKB && !strncmp(name, "ipn_sk_", 7))
			sk++;
		else if (type != BPF_PROG_TYPE_SYSCALL || call_of(name) < 0)
			return err_text(l->e, -EINVAL,
					"program %.40s: is neither handlemsg nor a callback "
					"(IPN_POLICY, IPN_POLICY_SEND, IPN_ON make those)",
					name);
	}
	if (!xdp || !tc)
		return err_text(l->e, -EINVAL,
				"has no handlemsg for %s (make it with IPN_POLICY or "
				"IPN_POLICY_SEND of ipn/policy.h)",
				xdp  ? "tc"
				: tc ? "XDP"
				     : "any hook");
	if (xdp > 1 || tc > 1 || sk > 1)
		return err_text(l->e, -EINVAL, "has more than one handlemsg (one per object)");
	return 0;
}

/* The verifier's last words: the line before its summary. */
static const char *last_words(char *log)
{
	char *end = strstr(log, "\nprocessed "), *start;

	if (end)
		*end = '\0';
	end = log + strlen(log);
	while (end > log && (end[-1] == '\n' || end[-1] == ' '))
		*--end = '\0';
	start = strrchr(log, '\n');
	return start ? start + 1 : log;
}

/* What libbpf asks the kernel, and where it looks for a free descriptor and for types. */
/* seccomp: loader manager: bpf mmap uname access faccessat faccessat2 openat lseek dup3 fcntl */
/* seccomp: loader manager: memfd_create getdents64 */
static int object_load(struct loader *l)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = l->name);
	const char *words;
	int r;

	l->log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (l->log == MAP_FAILED)
		return -ENOMEM;
	opts.kernel_log_buf = l->log;
	opts.kernel_log_size = LOG_SIZE;
	libbpf_set_print(note_print);
	l->obj = bpf_object__open_mem(l->data, l->size, &opts);
	if (!l->obj)
		return err_text(l->e, -ENOEXEC, "is not a BPF object that can be used: %s",
				strerror(errno));
	r = progs_check(l);
	if (!r)
		r = maps_prepare(l);
	if (r)
		return r;
	r = bpf_object__load(l->obj);
	if (!r)
		return 0;
	words = last_words(l->log);
	if (failed_prog[0] && *words)
		return err_text(l->e, -EACCES, "the kernel's verifier refuses program %s: %.120s",
				failed_prog, words);
	return err_text(l->e, r, "the kernel refuses it: %s%s%.120s", strerror(-r),
			first_words[0] ? ": " : "", first_words);
}

/* --- from the process to the manager ---*/

static int object_add(struct loader *l, int fd, const char *prefix, const char *name)
{
	struct result *result = &l->result;

	if (result->nobjects == OBJECTS_MAX)
		return err_text(l->e, -E2BIG, "has more than %u programs and maps", OBJECTS_MAX);
	snprintf(result->names[result->nobjects], OBJECT_NAME_MAX, "%s%s", prefix, name);
	l->objects[result->nobjects++] = fd;
	return 0;
}

static int objects_add(struct loader *l)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_program(prog, l->obj) {
		enum bpf_prog_type type = bpf_program__type(prog);
		bool call = type == BPF_PROG_TYPE_SYSCALL;

		if (!r)
			r = object_add(l, bpf_program__fd(prog), call ? "call_" : "",
				       call                           ? bpf_program__name(prog) + 4
				       : type == BPF_PROG_TYPE_XDP    ? "xdp"
				       : type == BPF_PROG_TYPE_SK_SKB ? "sk"
								      : "tc");
	}
	bpf_object__for_each_map(map, l->obj)
		if (!r && !bpf_map__is_internal(map) &&
		    bpf_shared_map(l->ps->bpf, bpf_map__name(map)) < 0)
			r = object_add(l, bpf_map__fd(map), "map_", bpf_map__name(map));
	return r;
}

/* seccomp: loader manager: sendmsg */
static int result_send(struct loader *l, int out)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(OBJECTS_MAX)];
	struct iovec iov = { &l->result, sizeof(l->result) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (l->result.err)
		l->result.nobjects = 0;
	fdpass_put(&hdr, control, l->objects, l->result.nobjects);
	return sendmsg(out, &hdr, MSG_NOSIGNAL) == sizeof(l->result) ? 0 : -EIO;
}

/* --- the process ---*/

static __u64 address_space(void)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	return strtoull(text, NULL, 10) * (__u64)sysconf(_SC_PAGESIZE);
}

/* seccomp: manager: prlimit64 openat */
static int limits_set(void)
{
	const __u64 space = address_space() + MEMORY;
	const rlim_t seconds = LOAD_MS / 1000 + 1;
	const struct {
		__rlimit_resource_t which;
		rlim_t value;
	} limits[] = {
#if !defined(__SANITIZE_ADDRESS__) /* its shadow has its place in all of the address space */
		{ RLIMIT_AS, space },
#endif
		{ RLIMIT_CPU, seconds },
		{ RLIMIT_NOFILE, FILES_MAX },
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_FSIZE, MEMORY },
		{ RLIMIT_CORE, 0 },
	};

	(void)space;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit now;

		if (getrlimit(limits[i].which, &now))
			return -errno;
		if (now.rlim_max > limits[i].value)
			now.rlim_max = limits[i].value;
		now.rlim_cur = now.rlim_max;
		if (setrlimit(limits[i].which, &now))
			return -errno;
	}
	return 0;
}

/* Closes all but the file, the maps that a policy may share, and the way back. */
static int fds_reduce(struct loader *l, int out)
{
	int fds[2 + OBJECTS_MAX] = { l->file, out };
	size_t n = 2;
	struct bpf_map *map;

	bpf_object__for_each_map(map, l->ps->bpf->hooks->obj)
		if (bpf_map__fd(map) >= 0 && n < ARRAY_SIZE(fds))
			fds[n++] = bpf_map__fd(map);
	return powers_close_others(fds, n);
}

/* From here on the process can do what it is for, and nothing else. */
static int shut_away(struct loader *l, int out)
{
	int r = limits_set();

	if (!r)
		r = fds_reduce(l, out);
	if (r)
		return err_text(l->e, r, "cannot shut away the process that loads it: %s",
				strerror(-r));
	r = powers_isolate(l->e);
	return r ? r : powers_reduce(POWERS_LOADER, l->e);
}

static void __attribute__((noreturn)) child(struct loader *l, int out)
{
	int r;

	/* or it would go on under the next manager, which knows nothing of it */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != l->parent)
		_exit(1);
	signal(SIGTERM, SIG_DFL);
	l->e = &l->result.e;
	r = shut_away(l, out);
	if (!r)
		r = file_read(l);
	if (!r)
		r = policy_file_check(l->data, l->size, l->e);
	if (!r)
		r = object_load(l);
	if (!r)
		r = objects_add(l);
	l->result.err = r;
	_exit(result_send(l, out) ? 1 : 0);
}

/* --- what came back ---*/

static bool object_name_ok(const char *name)
{
	if (!memchr(name, '\0', OBJECT_NAME_MAX))
		return false;
	if (!strncmp(name, "map_", 4))
		return pin_name_ok(name + 4);
	for (int i = 0; i < IPN_CALLS; i++)
		if (!strncmp(name, "call_", 5) && !strcmp(name + 5, policy_call_name(i)))
			return true;
	return !strcmp(name, "xdp") || !strcmp(name, "tc") || !strcmp(name, "sk");
}

static bool result_ok(const struct result *result, unsigned int nfds)
{
	if (result->err > 0 || result->err < -4095 || result->nobjects > OBJECTS_MAX ||
	    result->nobjects != nfds || !memchr(result->e.text, '\0', sizeof(result->e.text)))
		return false;
	for (__u32 i = 0; i < result->nobjects; i++)
		if (!object_name_ok(result->names[i]))
			return false;
	return true;
}

/* What is left of the child when it is gone. The descriptors are the caller's. */
static int child_result(struct loading *l, struct result *result, int fds[OBJECTS_MAX],
			unsigned int *nfds, struct errtext *e)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(OBJECTS_MAX)];
	struct iovec iov = { result, sizeof(*result) };
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(l->in, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*nfds = n < 0 ? 0 : fdpass_get(&hdr, fds, OBJECTS_MAX);
	if (l->timed_out)
		return err_text(e, -ETIMEDOUT, "was not loaded within %u s (make it simpler)",
				LOAD_MS / 1000);
	if (n == sizeof(*result) && hdr.msg_flags & MSG_CTRUNC)
		return err_text(e, -EMFILE, "the manager has no descriptors for it");
	if (n != sizeof(*result) || !result_ok(result, *nfds))
		return err_text(e, -ENOEXEC, "is broken: reading it ended the process that did");
	*e = result->e;
	return result->err;
}

static int pin(struct loading *l, int fd, const char *name, struct errtext *e)
{
	char path[POLICY_PATH_LEN];
	int r = policy_path(l->ps, path, "%u_new/%s", l->number, name);

	if (!r && bpf_obj_pin(fd, path))
		r = -errno;
	return r ? err_text(e, r, "cannot pin %s: %s", name, strerror(-r)) : 0;
}

static int pin_info(struct loading *l, struct errtext *e)
{
	const struct ipn_policy_info info = { .number = l->number, .abi = IPN_ABI_VERSION };
	struct ipn_policy_info value = info;
	_cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ipn_policy", sizeof(__u32),
						sizeof(value), 1, NULL);
	__u32 zero = 0;

	util_copy(value.name, sizeof(value.name), l->name);
	if (fd < 0 || bpf_map_update_elem(fd, &zero, &value, BPF_ANY))
		return err_text(e, -errno, "cannot make its map: %s", strerror(errno));
	return pin(l, fd, "info", e);
}

static int objects_pin(struct loading *l, const struct result *result, const int *fds,
		       struct errtext *e)
{
	char path[POLICY_PATH_LEN];
	int r = policy_path(l->ps, path, "%u_new", l->number);

	bpf_tree_remove(path);
	if (!r && mkdir(path, 0750))
		r = err_text(e, -errno, "cannot make %s: %s", path, strerror(errno));
	if (!r)
		r = pin_info(l, e);
	for (__u32 i = 0; !r && i < result->nobjects; i++)
		r = pin(l, fds[i], result->names[i], e);
	return r;
}

static void child_end(struct loading *l)
{
	if (l->pid <= 0)
		return;
	kill(l->pid, SIGKILL);
	while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	l->pid = 0;
}

static void loading_free(struct loading *l)
{
	char fresh[POLICY_PATH_LEN];

	child_end(l);
	policy_path(l->ps, fresh, "%u_new", l->number);
	bpf_tree_remove(fresh);
	sd_event_source_disable_unref(l->timer);
	sd_event_source_disable_unref(l->exit);
	util_close_fd(&l->in);
	if (l->prev)
		l->prev->next = l->next;
	else
		l->ps->loadings = l->next;
	if (l->next)
		l->next->prev = l->prev;
	*l->ref = NULL;
	free(l);
}

/* The pins become the policy. */
static int loading_take(struct loading *l, struct errtext *e)
{
	char fresh[POLICY_PATH_LEN], path[POLICY_PATH_LEN];
	int r = 0;

	policy_path(l->ps, path, "%u", l->number);
	policy_path(l->ps, fresh, "%u_new", l->number);
	if (rename(fresh, path))
		return err_text(e, -errno, "%s: %s", path, strerror(errno));
	r = policy_open(l->ps, l->number);
	if (!r)
		return 0;
	bpf_tree_remove(path);
	return err_text(e, r, "its programs do not fit the fabric: %s", strerror(-r));
}

static int on_child_gone(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct loading *l = arg;
	policy_loaded_fn done = l->done;
	void *done_arg = l->arg;
	__u32 number = l->number;
	struct errtext e = { "" };
	struct result result;
	int fds[OBJECTS_MAX];
	unsigned int nfds;
	int r = child_result(l, &result, fds, &nfds, &e);

	(void)source;
	(void)fd;
	(void)events;
	if (!r)
		r = objects_pin(l, &result, fds, &e);
	if (!r)
		r = loading_take(l, &e);
	while (nfds)
		close(fds[--nfds]);
	loading_free(l);
	done(done_arg, number, r, &e);
	return 0;
}

static int on_too_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct loading *l = arg;

	(void)source;
	(void)usec;
	l->timed_out = true;
	kill(l->pid, SIGKILL); /* on_child_gone comes next */
	return 0;
}

/* seccomp: manager: socketpair clone clone3 recvmsg pidfd_open kill wait4 */
/* Starts the child, and watches for its end and the time. */
static int loading_start(struct loading *l, sd_event *event, struct loader *loader,
			 struct errtext *e)
{
	int fds[2], pidfd, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return err_text(e, -errno, "cannot start a process to load it: %s",
				strerror(errno));
	l->in = fds[0];
	l->pid = fork();
	if (l->pid == 0)
		child(loader, fds[1]);
	r = -errno;
	close(fds[1]);
	if (l->pid < 0)
		return err_text(e, r, "cannot start a process to load it: %s", strerror(-r));
	pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);
	r = pidfd < 0 ? -errno : sd_event_add_io(event, &l->exit, pidfd, EPOLLIN, on_child_gone, l);
	if (r >= 0)
		sd_event_source_set_io_fd_own(l->exit, true);
	else if (pidfd >= 0)
		close(pidfd);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, LOAD_MS * 1000, 0,
					       on_too_late, l);
	return r < 0 ? err_text(e, r, "cannot watch the process that loads it: %s", strerror(-r))
		     : 0;
}

void policy_load_cancel(struct loading *l)
{
	loading_free(l);
}

void policy_load_cancel_all(struct policies *ps)
{
	while (ps->loadings)
		loading_free(ps->loadings);
}

static bool name_ok(const char *s)
{
	if (!islower((unsigned char)*s))
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '_' &&
		    *s != '-')
			return false;
	return true;
}

static int number_check(struct policies *ps, __u32 number, const char *name, struct errtext *e)
{
	if (!number || number >= IPN_POLICY_MAX)
		return err_text(e, -EINVAL, "number %u is not from %u to %u", number,
				IPN_POLICY_FIRST, IPN_POLICY_MAX - 1);
	if (ps->at[number])
		return err_text(e, -EEXIST, "number %u is taken by policy %s (choose another)",
				number, ps->at[number]->name);
	if (!name_ok(name))
		return err_text(e, -EINVAL,
				"not a name for a policy (1 to %u of a-z, 0-9, _ and -, a letter "
				"first)",
				IPN_POLICY_NAME_MAX - 1);
	for (__u32 i = 0; i < IPN_POLICY_MAX; i++)
		if ((ps->at[i] && !strcmp(ps->at[i]->name, name)) || !strcmp(name, "hub"))
			return err_text(e, -EEXIST, "name %s is taken (choose another)", name);
	for (struct loading *l = ps->loadings; l; l = l->next)
		if (l->number == number || !strcmp(l->name, name))
			return err_text(e, -EEXIST, "policy %u, %s, is being loaded", l->number,
					l->name);
	return 0;
}

int policy_load(struct policies *ps, sd_event *event, int file, __u32 number, const char *name,
		policy_loaded_fn done, void *arg, struct loading **out, struct errtext *e)
{
	struct loader loader = { .ps = ps, .parent = getpid(), .file = file, .number = number };
	struct loading *l;
	int r = number_check(ps, number, name, e);

	if (r)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->ps = ps;
	l->in = -1;
	l->number = number;
	l->done = done;
	l->arg = arg;
	l->ref = out;
	util_copy(l->name, sizeof(l->name), name);
	loader.name = l->name;
	l->next = ps->loadings;
	if (l->next)
		l->next->prev = l;
	ps->loadings = l;
	r = loading_start(l, event, &loader, e);
	if (r) {
		loading_free(l);
		return r;
	}
	*out = l;
	return 0;
}
