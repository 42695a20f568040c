// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The real user/manager/kernel/bpf.c on the stub: its objects are opened by the real libbpf, once,
 * and "loaded" here; its pins are files below a directory that is no bpffs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"

#include "hooks.skel.h"
#include "hub.skel.h"
#include "l3.skel.h"
#include "switch.skel.h"
#include "xsk.skel.h"

/* --- pins --- */

/* In the file. What another process pinned (the one that loads a policy) is made again of it. */
struct pin {
	pid_t pid;
	__u32 kind, id, type, key_size, value_size, max;
	char name[32];
	__u8 value[128];
};

static int pin_read(const char *path, struct pin *pin)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return read(fd, pin, sizeof(*pin)) == sizeof(*pin) ? 0 : EINVAL;
}

static struct obj *pin_obj(const struct pin *pin)
{
	struct obj *o;

	HASH_FIND(by_id, stub.by_id, &pin->id, sizeof(pin->id), o);
	return o && pin->pid == getpid() ? o : NULL;
}

int bpf_obj_pin(int fd, const char *path)
{
	int err = stub_enter("obj_pin", true);
	struct pin pin = { .pid = getpid() };
	_cleanup_close_ int file = -1;
	struct obj *o = NULL;

	if (err)
		return stub_error(err);
	for (enum obj_kind kind = OBJ_MAP; !o && kind <= OBJ_LINK; kind++)
		o = obj_of_fd(fd, kind);
	if (!o)
		err = EBADF;
	if (!err) {
		file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		err = file < 0 ? errno : 0;
	}
	if (!err) {
		pin.kind = o->kind;
		pin.id = o->id;
		pin.type = o->type;
		pin.key_size = o->key_size;
		pin.value_size = o->value_size;
		pin.max = o->max;
		memcpy(pin.name, o->name, sizeof(pin.name));
		if (o->type == BPF_MAP_TYPE_ARRAY && o->kind == OBJ_MAP && o->max == 1 &&
		    o->value_size <= sizeof(pin.value))
			memcpy(pin.value, map_mem(o), o->value_size);
		o->pinned = true;
		err = write(file, &pin, sizeof(pin)) == sizeof(pin) ? 0 : EIO;
	}
	stub_leave();
	return err ? stub_error(err) : 0;
}

int bpf_obj_get(const char *path)
{
	int err = stub_enter("obj_get", false);
	struct pin pin;
	struct obj *o;

	if (!err)
		err = pin_read(path, &pin);
	if (err)
		return stub_error(err);
	o = pin_obj(&pin);
	if (!o && pin.kind == OBJ_MAP) {
		o = map_new(pin.type, pin.name, pin.key_size, pin.value_size, pin.max);
		if (pin.max == 1 && pin.value_size <= sizeof(pin.value))
			memcpy(map_mem(o), pin.value, pin.value_size);
	} else if (!o) {
		o = obj_new(pin.kind, pin.name, pin.type);
	}
	return obj_fd(o);
}

int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *len)
{
	int err = stub_enter("obj_get_info", false);
	struct obj *m = obj_of_fd(fd, OBJ_MAP), *l = obj_of_fd(fd, OBJ_LINK),
		   *p = obj_of_fd(fd, OBJ_PROG);

	if (err)
		return stub_error(err);
	memset(info, 0, *len);
	if (m) {
		struct bpf_map_info *out = info;

		out->type = m->type;
		out->value_size = m->value_size;
		out->max_entries = m->max;
	} else if (l) {
		((struct bpf_link_info *)info)->xdp.ifindex = l->ifindex;
	} else if (p) {
		memcpy(((struct bpf_prog_info *)info)->name, p->name, BPF_OBJ_NAME_LEN - 1);
	}
	return m || l || p ? 0 : stub_error(EBADF);
}

static void link_end(struct obj *l)
{
	l->pinned = false;
	l->ifindex = 0;
}

void links_end(__u32 ifindex)
{
	struct obj *o, *tmp;

	HASH_ITER(by_id, stub.by_id, o, tmp) {
		if (o->kind == OBJ_LINK && o->ifindex == ifindex)
			link_end(o);
	}
}

int stub_unlink(const char *path)
{
	struct pin pin;
	struct obj *o;
	int err, r;

	if (access(path, F_OK))
		return -1;
	err = stub_enter("unlink", true);
	if (err) {
		errno = err;
		return -1;
	}
	o = pin_read(path, &pin) ? NULL : pin_obj(&pin);
	r = unlink(path);
	if (!r && o && o->kind == OBJ_LINK)
		obj_free(o);
	stub_leave();
	return r;
}

int stub_mkdir(const char *path, mode_t mode)
{
	int err = stub_enter("mkdir", true), r;

	if (err) {
		errno = err;
		return -1;
	}
	r = mkdir(path, mode);
	stub_leave();
	return r;
}

int stub_rmdir(const char *path)
{
	int err = stub_enter("rmdir", true), r;

	if (err) {
		errno = err;
		return -1;
	}
	r = rmdir(path);
	stub_leave();
	return r;
}

int stub_rename(const char *from, const char *to)
{
	int err = stub_enter("rename", true), r;

	if (err) {
		errno = err;
		return -1;
	}
	r = rename(from, to);
	stub_leave();
	return r;
}

/* --- links --- */

int bpf_link_create(int prog, int ifindex, enum bpf_attach_type type,
		    const struct bpf_link_create_opts *opts)
{
	int err = stub_enter("link_create", false); /* it goes with its descriptor */
	struct obj *o, *tmp;

	(void)opts;
	if (!err && !obj_of_fd(prog, OBJ_PROG))
		err = EBADF;
	if (!err && ifindex != 1 && !stub_if_get((__u32)ifindex))
		err = ENODEV;
	HASH_ITER(by_id, stub.by_id, o, tmp) {
		if (err || o->kind != OBJ_LINK || o->ifindex != (__u32)ifindex)
			continue;
		if (!o->pinned)
			obj_free(o); /* its descriptor was closed */
		else if (type == BPF_XDP && o->attach == BPF_XDP)
			err = EBUSY;
	}
	if (err)
		return stub_error(err);
	o = obj_new(OBJ_LINK, "link", 0);
	o->ifindex = (__u32)ifindex;
	o->attach = type;
	return obj_fd(o);
}

int bpf_link_update(int link, int prog, const struct bpf_link_update_opts *opts)
{
	int err = stub_enter("link_update", true);
	const struct obj *l = obj_of_fd(link, OBJ_LINK);

	(void)opts;
	if (err)
		return stub_error(err);
	err = !l || !obj_of_fd(prog, OBJ_PROG) ? EBADF : !l->ifindex ? ENOLINK : 0;
	stub_leave();
	return err ? stub_error(err) : 0;
}

int bpf_prog_query(int ifindex, enum bpf_attach_type type, __u32 flags, __u32 *attach_flags,
		   __u32 *ids, __u32 *n)
{
	(void)ifindex;
	(void)type;
	(void)flags;
	(void)attach_flags;
	(void)ids;
	*n = 0;
	return 0;
}

int bpf_prog_get_fd_by_id(__u32 id)
{
	(void)id;
	return stub_error(ENOENT);
}

int bpf_prog_attach(int prog, int fd, enum bpf_attach_type type, unsigned int flags)
{
	int err = stub_enter("prog_attach", true);

	(void)type;
	(void)flags;
	if (err)
		return stub_error(err);
	err = obj_of_fd(prog, OBJ_PROG) && obj_of_fd(fd, OBJ_MAP) ? 0 : EBADF;
	stub_leave();
	return err ? stub_error(err) : 0;
}

/* --- clsact --- */

int bpf_tc_hook_create(struct bpf_tc_hook *hook)
{
	struct stub_if *i = stub_if_get((__u32)hook->ifindex);
	int err;

	if (i && i->clsact)
		return -EEXIST;
	err = stub_enter("tc_hook_create", true);
	if (err)
		return -err;
	if (i)
		i->clsact = true;
	stub_leave();
	return i ? 0 : -ENODEV;
}

int bpf_tc_hook_destroy(struct bpf_tc_hook *hook)
{
	struct stub_if *i = stub_if_get((__u32)hook->ifindex);
	int err = stub_enter("tc_hook_destroy", true);

	if (err)
		return -err;
	if (i) {
		i->clsact = false;
		i->filters = 0;
	}
	stub_leave();
	return i ? 0 : -ENODEV;
}

int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
{
	struct stub_if *i = stub_if_get((__u32)hook->ifindex);
	int err = stub_enter("tc_attach", true);

	if (err)
		return -err;
	if (!i || !i->clsact || !obj_of_fd(opts->prog_fd, OBJ_PROG))
		err = EINVAL;
	else
		i->filters = 1;
	stub_leave();
	return -err;
}

int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts)
{
	struct stub_if *i = stub_if_get((__u32)hook->ifindex);
	int err = stub_enter("tc_detach", true);

	(void)opts;
	if (err)
		return -err;
	if (i)
		i->filters = 0;
	stub_leave();
	return i ? 0 : -ENODEV;
}

/* --- objects --- */

int libbpf_num_possible_cpus(void)
{
	return STUB_CPUS;
}

static struct obj *named(enum obj_kind kind, const char *name)
{
	return obj_named(name, kind);
}

static void name_add(struct obj *o)
{
	if (stub.nnames == ARRAY_SIZE(stub.names))
		abort();
	stub.names[stub.nnames++] = o;
	o->shared = true;
}

static struct obj *map_of(const struct bpf_map *map)
{
	struct obj *o = named(OBJ_MAP, bpf_map__name(map));

	if (o || bpf_map__is_internal(map))
		return o;
	o = map_new(bpf_map__type(map), bpf_map__name(map), bpf_map__key_size(map),
		    bpf_map__value_size(map), bpf_map__max_entries(map));
	name_add(o);
	return o;
}

int bpf_map__fd(const struct bpf_map *map)
{
	const struct obj *o = map_of(map);

	return o ? o->fd : -1;
}

int bpf_map__reuse_fd(struct bpf_map *map, int fd)
{
	bpf_map__set_pin_path(map, NULL); /* of the last start */
	return obj_of_fd(fd, OBJ_MAP) ? 0 : -EBADF;
}

int bpf_object__find_map_fd_by_name(const struct bpf_object *obj, const char *name)
{
	const struct obj *o = named(OBJ_MAP, name);

	(void)obj;
	return o ? o->fd : -1;
}

int bpf_program__fd(const struct bpf_program *prog)
{
	struct obj *o = prog ? named(OBJ_PROG, bpf_program__name(prog)) : NULL;

	if (!prog)
		return stub_error(ENOENT);
	if (!o) {
		o = obj_new(OBJ_PROG, bpf_program__name(prog), bpf_program__type(prog));
		name_add(o);
	}
	return o->fd;
}

/* Of the fabric's objects, or, in its own process, of a policy. */
int bpf_object__load(struct bpf_object *obj)
{
	int err = stub_enter("object_load", false);
	struct bpf_map *map;
	const char *path;

	if (stub.load_ms)
		usleep(stub.load_ms * 1000);
	if (!err)
		err = stub.load_err;
	if (err)
		return stub_error(err);
	bpf_object__for_each_map(map, obj) {
		const struct obj *o = map_of(map);

		path = bpf_map__pin_path(map);
		if (o && path && !o->pinned && bpf_obj_pin(o->fd, path))
			return -errno;
	}
	return 0;
}

void stub_load_fails(int err, const char *words)
{
	stub.load_err = err;
	util_copy(stub.load_words, sizeof(stub.load_words), words ? words : "");
}

void stub_load_takes(unsigned int ms)
{
	stub.load_ms = ms;
}

/* They are opened once: that takes longer than all that the manager does with them. */
#define OPENED(name)                                   \
	static struct name##_bpf *opened_##name(void)  \
	{                                              \
		static struct name##_bpf *skeleton;    \
                                                       \
		if (!skeleton)                         \
			skeleton = name##_bpf__open(); \
		return skeleton;                       \
	}
OPENED(hooks)
OPENED(hub)
OPENED(switch)
OPENED(l3)
OPENED(xsk)

static int no_thread(void)
{
	return EAGAIN;
}

#define hooks_bpf__open opened_hooks
#define hub_bpf__open opened_hub
#define switch_bpf__open opened_switch
#define l3_bpf__open opened_l3
#define xsk_bpf__open opened_xsk
#define hooks_bpf__destroy(skeleton) ((void)(skeleton))
#define hub_bpf__destroy(skeleton) ((void)(skeleton))
#define switch_bpf__destroy(skeleton) ((void)(skeleton))
#define l3_bpf__destroy(skeleton) ((void)(skeleton))
#define xsk_bpf__destroy(skeleton) ((void)(skeleton))
#define pthread_create(thread, attr, fn, arg) ((void)(thread), (void)(fn), no_thread())
#define unlink stub_unlink
#define mkdir stub_mkdir
#define rmdir stub_rmdir
#define rename stub_rename
#include "../../../user/manager/kernel/bpf.c" // NOLINT(bugprone-suspicious-include)
#define lock inner_lock
#include "../../../user/manager/kernel/inner.c" // NOLINT(bugprone-suspicious-include)
