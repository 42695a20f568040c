// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/kernel/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <ipn/control.h>
#include <linux/magic.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"

#include "hooks.skel.h"
#include "hub.skel.h"
#include "l3.skel.h"
#include "switch.skel.h"
#include "xsk.skel.h"

#define ATTACH_TCX_INGRESS 46 /* BPF_TCX_INGRESS: newer than Debian 12's headers */
#define CLSACT_PRIORITY 1
#define CLSACT_HANDLE 1
#define GRAB_PRIORITY 18768  /* "IP": among filters of others */
#define GRAB_HANDLE 0x49504e /* "IPN" */
#define GRAB_PROG "ipn_tc_grab"

/* seccomp: manager: bpf uname dup dup3 fcntl ioctl memfd_create prlimit64 lseek pread64 */
static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && getenv("IPN_FABRIC_DEBUG"))
		return vfprintf(stderr, fmt, ap);
	return 0;
}

/* seccomp: manager: mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 getdents64 */
/* seccomp: manager: statfs access faccessat2 stat lstat */
static int pin_path(const struct bpf_state *b, char *path, size_t size, const char *fmt, ...)
{
	int n = snprintf(path, size, "%s/", b->dir);
	va_list ap;

	va_start(ap, fmt);
	n += vsnprintf(path + n, size - n, fmt, ap);
	va_end(ap);
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* With one descriptor, however deep it is: there may be no more. */
void bpf_tree_remove(const char *dir)
{
	char path[512], sub[512];
	struct dirent *e;
	struct stat st;
	DIR *d;

	do {
		sub[0] = '\0';
		d = opendir(dir);
		if (!d)
			return;
		while ((e = readdir(d))) {
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
			if (!lstat(path, &st) && S_ISDIR(st.st_mode))
				util_copy(sub, sizeof(sub), path);
			else
				unlink(path);
		}
		closedir(d);
		if (sub[0])
			bpf_tree_remove(sub);
	} while (sub[0] && access(sub, F_OK)); /* until one cannot be removed */
	rmdir(dir);
}

/*
 * Loads an object. Its maps: those that `first` has are first's; others, and all without `first`,
 * are pinned in b->dir, or taken from there if they exist.
 */
static int load_object(struct bpf_state *b, struct bpf_object *obj, struct bpf_object *first)
{
	struct bpf_map *map;
	char path[512];
	int r;

	bpf_object__for_each_map(map, obj) {
		const char *name = bpf_map__name(map);
		int fd = first ? bpf_object__find_map_fd_by_name(first, name) : -1;

		if (bpf_map__is_internal(map))
			continue;

		if (fd >= 0) {
			r = bpf_map__reuse_fd(map, fd);
		} else {
			r = pin_path(b, path, sizeof(path), "%s", name + strlen("ipn_"));
			if (!r)
				r = bpf_map__set_pin_path(map, path);
		}
		if (r)
			return r;
	}
	return bpf_object__load(obj);
}

static int prog_fd(struct bpf_object *obj, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(obj, name));
}

static int pin_progs(struct bpf_state *b, struct bpf_object *obj)
{
	struct bpf_program *prog;
	char path[512];
	int r;

	bpf_object__for_each_program(prog, obj) {
		r = pin_path(b, path, sizeof(path), "prog/%s",
			     bpf_program__name(prog) + strlen("ipn_"));
		if (r)
			return r;
		unlink(path); /* an older program; links and arrays hold it until they are moved */
		if (bpf_obj_pin(bpf_program__fd(prog), path))
			return -errno;
	}
	return 0;
}

static int policy_set(struct bpf_state *b, __u32 number, struct bpf_object *obj, const char *name)
{
	char prog[32];
	int xdp, tc, sk;

	snprintf(prog, sizeof(prog), "ipn_xdp_%s", name);
	xdp = prog_fd(obj, prog);
	snprintf(prog, sizeof(prog), "ipn_tc_%s", name);
	tc = prog_fd(obj, prog);
	snprintf(prog, sizeof(prog), "ipn_sk_%s", name);
	sk = prog_fd(obj, prog);
	if (bpf_map_update_elem(bpf_map__fd(b->hooks->maps.ipn_pol_xdp), &number, &xdp, BPF_ANY) ||
	    bpf_map_update_elem(bpf_map__fd(b->hooks->maps.ipn_pol_tc), &number, &tc, BPF_ANY) ||
	    (sk >= 0 &&
	     bpf_map_update_elem(bpf_map__fd(b->hooks->maps.ipn_pol_sk), &number, &sk, BPF_ANY)))
		return -errno;
	return 0;
}

struct load {
	struct bpf_object *obj;
	struct bpf_state *b;
	pthread_t thread;
	bool threaded;
	int r;
};

/* seccomp: manager: clone clone3 set_robust_list sched_getaffinity */
static void *load_one(void *arg)
{
	struct load *l = arg;

	l->r = load_object(l->b, l->obj, l->b->hooks->obj);
	return NULL;
}

/*
 * All that has the maps of hooks, at the same time: the kernel takes most of a start to verify
 * it, and nobody can join a network before. Those that verify longest begin.
 */
static int load_rest(struct bpf_state *b)
{
	struct bpf_object *objs[] = { b->ethernet_switch->obj, b->l3->obj, b->hub->obj,
				      b->xsk->obj };
	struct load loads[ARRAY_SIZE(objs)];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		loads[i] = (struct load){ .obj = objs[i], .b = b };
		loads[i].threaded = !pthread_create(&loads[i].thread, NULL, load_one, &loads[i]);
		if (!loads[i].threaded)
			load_one(&loads[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		if (loads[i].threaded)
			pthread_join(loads[i].thread, NULL);
		if (!r)
			r = loads[i].r;
	}
	return r;
}

static int load_all(struct bpf_state *b)
{
	struct bpf_object *hooks;
	int r;

	b->hooks = hooks_bpf__open();
	b->hub = hub_bpf__open();
	b->ethernet_switch = switch_bpf__open();
	b->l3 = l3_bpf__open();
	b->xsk = xsk_bpf__open();
	if (!b->hooks || !b->hub || !b->ethernet_switch || !b->l3 || !b->xsk)
		return -errno;
	hooks = b->hooks->obj;
	r = bpf_map__set_max_entries(b->hooks->maps.ipn_drafts, 1 + libbpf_num_possible_cpus());
	if (!r)
		r = bpf_map__set_max_entries(b->hooks->maps.ipn_flows,
					     IPN_CPU_FLOWS * libbpf_num_possible_cpus());
	if (!r)
		r = load_object(b, hooks, NULL);
	if (!r)
		r = load_rest(b);
	if (!r)
		r = pin_progs(b, hooks);
	if (!r)
		r = pin_progs(b, b->xsk->obj);
	if (!r)
		r = pin_progs(b, b->hub->obj);
	if (!r)
		r = pin_progs(b, b->ethernet_switch->obj);
	if (!r)
		r = pin_progs(b, b->l3->obj);
	if (!r)
		r = policy_set(b, IPN_POLICY_BROADCAST, b->hub->obj, "hub");
	if (!r)
		r = policy_set(b, IPN_POLICY_SWITCH, b->ethernet_switch->obj, "switch");
	if (!r)
		r = policy_set(b, IPN_POLICY_L3, b->l3->obj, "l3");
	return r;
}

int bpf_shared_map(struct bpf_state *b, const char *name)
{
	return bpf_object__find_map_fd_by_name(b->hooks->obj, name);
}

static void take_fds(struct bpf_state *b)
{
	b->fd_calls = bpf_map__fd(b->hooks->maps.ipn_calls);
	b->fd_pol_xdp = bpf_map__fd(b->hooks->maps.ipn_pol_xdp);
	b->fd_pol_tc = bpf_map__fd(b->hooks->maps.ipn_pol_tc);
	b->fd_pol_sk = bpf_map__fd(b->hooks->maps.ipn_pol_sk);
	b->fd_socks = bpf_map__fd(b->hooks->maps.ipn_socks);
	b->fd_sk_ports = bpf_map__fd(b->hooks->maps.ipn_sk_ports);
	b->fd_punt = bpf_map__fd(b->hooks->maps.ipn_punt);
	b->fd_punt_acct = bpf_map__fd(b->hooks->maps.ipn_punt_acct);
	b->fd_listeners = bpf_map__fd(b->hooks->maps.ipn_listeners);
	b->fd_abi = bpf_map__fd(b->hooks->maps.ipn_abi);
	b->fd_net_info = bpf_map__fd(b->hooks->maps.ipn_net_info);
	b->fd_net_fast = bpf_map__fd(b->hooks->maps.ipn_net_fast);
	b->fd_port_in = bpf_map__fd(b->hooks->maps.ipn_port_in);
	b->fd_port_cache = bpf_map__fd(b->hooks->maps.ipn_port_cache);
	b->fd_port_info = bpf_map__fd(b->hooks->maps.ipn_port_info);
	b->fd_port_out = bpf_map__fd(b->hooks->maps.ipn_port_out);
	b->fd_flood_list = bpf_map__fd(b->hooks->maps.ipn_flood_list);
	b->fd_fdb = bpf_map__fd(b->hooks->maps.ipn_fdb);
	b->fd_stats = bpf_map__fd(b->hooks->maps.ipn_stats);
	b->fd_rings = bpf_map__fd(b->hooks->maps.ipn_rings);
	b->fd_bells = bpf_map__fd(b->hooks->maps.ipn_bells);
	b->fd_rooms = bpf_map__fd(b->hooks->maps.ipn_rooms);
	b->fd_pages = bpf_map__fd(b->hooks->maps.ipn_pages);
	b->fd_logs[IPN_LOG_SMALL] = bpf_map__fd(b->hooks->maps.ipn_logs_small);
	b->fd_logs[IPN_LOG_ETH] = bpf_map__fd(b->hooks->maps.ipn_logs_eth);
	b->fd_logs[IPN_LOG_JUMBO] = bpf_map__fd(b->hooks->maps.ipn_logs_jumbo);
	b->fd_xsks = bpf_map__fd(b->hooks->maps.ipn_xsks);
	b->fd_xskports = bpf_map__fd(b->hooks->maps.ipn_xskports);
	b->fd_xsk_cache = bpf_map__fd(b->hooks->maps.ipn_xsk_cache);
	b->prog_xsk = bpf_program__fd(b->xsk->progs.ipn_xdp_xsk);
	b->prog_xsk_held = bpf_program__fd(b->xsk->progs.ipn_xsk_held);
	b->fd_l3_nets = bpf_map__fd(b->l3->maps.ipn_l3_nets);
	b->fd_l3_ports = bpf_map__fd(b->l3->maps.ipn_l3_ports);
	b->fd_l3_route4 = bpf_map__fd(b->l3->maps.ipn_l3_route4);
	b->fd_l3_route6 = bpf_map__fd(b->l3->maps.ipn_l3_route6);
	b->fd_l3_neigh = bpf_map__fd(b->l3->maps.ipn_l3_neigh);
	b->fd_l3_static = bpf_map__fd(b->l3->maps.ipn_l3_static);
	b->fd_l3_held = bpf_map__fd(b->l3->maps.ipn_l3_held);
	b->prog_xdp = bpf_program__fd(b->hooks->progs.ipn_xdp);
	b->prog_xdp_dev = bpf_program__fd(b->hooks->progs.ipn_xdp_dev);
	b->prog_tc = bpf_program__fd(b->hooks->progs.ipn_tc);
	b->prog_tc_tap = bpf_program__fd(b->hooks->progs.ipn_tc_tap);
	b->prog_tc_segmenter = bpf_program__fd(b->hooks->progs.ipn_tc_segm);
	b->prog_tc_grab = bpf_program__fd(b->hooks->progs.ipn_tc_grab);
	b->prog_tc_cable = bpf_program__fd(b->hooks->progs.ipn_tc_cable);
	b->prog_sk_query = bpf_program__fd(b->hooks->progs.ipn_sk_query);
	b->prog_notify = bpf_program__fd(b->hooks->progs.ipn_notify);
}

/* The program of the sockets in `socks`. */
static int socks_attach(struct bpf_state *b)
{
	return bpf_prog_attach(bpf_program__fd(b->hooks->progs.ipn_sk), b->fd_socks,
			       BPF_SK_SKB_VERDICT, 0)
		       ? -errno
		       : 0;
}

int bpf_socks_query(struct bpf_state *b, struct ipn_sk_query *queries, __u32 n)
{
	__u32 size = n * (__u32)sizeof(*queries);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = queries, .data_size_in = size,
		    .data_out = queries, .data_size_out = size, .repeat = 1);

	return bpf_prog_test_run_opts(b->prog_sk_query, &opts) ? -errno : 0;
}

int bpf_port_set(struct bpf_state *b, const struct ipn_port_in *port)
{
	__u32 at = port->ifindex & (IPN_PORT_CACHE - 1);
	struct ipn_port_in now, nobody = *port;

	/* an element that is right already is not replaced under the programs that read it */
	if ((bpf_map_lookup_elem(b->fd_port_in, &port->ifindex, &now) ||
	     memcmp(&now, port, sizeof(now))) &&
	    bpf_map_update_elem(b->fd_port_in, &port->ifindex, port, BPF_ANY))
		return -errno;
	if (bpf_map_lookup_elem(b->fd_port_cache, &at, &now))
		return -errno;
	if (now.ifindex && now.ifindex != port->ifindex)
		return 0;   /* the hash has it */
	nobody.ifindex = 0; /* all that is new comes before the word that makes it be believed */
	if (!now.ifindex && bpf_map_update_elem(b->fd_port_cache, &at, &nobody, BPF_ANY))
		return -errno;
	if (memcmp(&now, port, sizeof(now)) &&
	    bpf_map_update_elem(b->fd_port_cache, &at, port, BPF_ANY))
		return -errno;
	return 0;
}

void bpf_port_del(struct bpf_state *b, __u32 ifindex)
{
	__u32 at = ifindex & (IPN_PORT_CACHE - 1);
	struct ipn_port_in now;

	if (!bpf_map_lookup_elem(b->fd_port_cache, &at, &now) && now.ifindex == ifindex) {
		now.ifindex = 0;
		bpf_map_update_elem(b->fd_port_cache, &at, &now, BPF_ANY);
	}
	bpf_map_delete_elem(b->fd_port_in, &ifindex);
}

int bpf_xskport_set(struct bpf_state *b, __u32 far, const struct ipn_xskport *x)
{
	struct ipn_xsk_cache now, mine = { .ifindex = far, .node = x->node };
	__u32 at = far & (IPN_PORT_CACHE - 1);

	if (bpf_map_update_elem(b->fd_xskports, &far, x, BPF_ANY) ||
	    bpf_map_lookup_elem(b->fd_xsk_cache, &at, &now))
		return -errno;
	if (now.ifindex && now.ifindex != far)
		return 0; /* the hash has it */
	if (memcmp(&now, &mine, sizeof(now)) &&
	    bpf_map_update_elem(b->fd_xsk_cache, &at, &mine, BPF_ANY))
		return -errno;
	return 0;
}

void bpf_xskport_del(struct bpf_state *b, __u32 far)
{
	struct ipn_xsk_cache now, nobody = { 0 };
	__u32 at = far & (IPN_PORT_CACHE - 1);

	if (!bpf_map_lookup_elem(b->fd_xsk_cache, &at, &now) && now.ifindex == far)
		bpf_map_update_elem(b->fd_xsk_cache, &at, &nobody, BPF_ANY);
	bpf_map_delete_elem(b->fd_xskports, &far);
}

void bpf_epoch(struct bpf_state *b, __u32 net)
{
	__atomic_fetch_add(&b->net_fast[net].epoch, 1, __ATOMIC_SEQ_CST);
}

bool bpf_policy_takes_socks(struct bpf_state *b, __u32 policy)
{
	__u32 id;

	return !bpf_map_lookup_elem(b->fd_pol_sk, &policy, &id);
}

/* Version in the pinned `abi` map, before anything is loaded. */
static int pinned_version(const char *dir, __u32 *version)
{
	struct ipn_abi abi = { 0 };
	struct bpf_map_info info = { 0 };
	__u32 zero = 0, len = sizeof(info);
	_cleanup_close_ int fd = -1;
	char path[512];

	snprintf(path, sizeof(path), "%s/abi", dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(abi))
		return -EPROTO;
	if (bpf_map_lookup_elem(fd, &zero, &abi))
		return -errno;
	*version = abi.version;
	return 0;
}

/* Moves a pinned link of the last manager to our program. */
static int link_update(struct bpf_state *b, const char *name)
{
	_cleanup_close_ int fd = -1;
	char path[512];
	__u32 ifindex;
	int prog;

	if (pin_path(b, path, sizeof(path), "link/%s", name))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	ifindex = strtoul(name, NULL, 10);
	if (strstr(name, "-xdp"))
		prog = b->prog_xdp;
	else if (strstr(name, "-dev"))
		prog = b->prog_xdp_dev;
	else if (strstr(name, "-up"))
		prog = b->prog_tc_tap;
	else if (strstr(name, "-xsk"))
		prog = b->prog_xsk;
	else if (strstr(name, "-grab"))
		prog = b->prog_tc_grab;
	else if (strstr(name, "-cable"))
		prog = b->prog_tc_cable;
	else if (ifindex == b->abi.segmenter_out)
		prog = b->prog_tc_segmenter;
	else
		prog = b->prog_tc;
	if (bpf_link_update(fd, prog, NULL)) {
		if (errno == ENOLINK || errno == ENODEV ||
		    errno == EINVAL) { /* its interface is gone */
			unlink(path);
			return 0;
		}
		return -errno;
	}
	return 0;
}

static int links_update(struct bpf_state *b)
{
	char path[512];
	struct dirent *e;
	int r = 0;
	DIR *d;

	if (pin_path(b, path, sizeof(path), "link"))
		return -ENAMETOOLONG;
	d = opendir(path);
	if (!d)
		return -errno;
	while (!r && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = link_update(b, e->d_name);
	closedir(d);
	return r;
}

int bpf_attach_clsact(__u32 ifindex, int prog)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = CLSACT_HANDLE,
		    .priority = CLSACT_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r && r != -EEXIST)
		return r;
	return bpf_tc_attach(&hook, &opts);
}

int bpf_dir_make(const char *bpffs, struct errtext *e)
{
	bool made = !mkdir(bpffs, 0750);
	char dir[256];
	struct statfs fs;
	struct stat st;
	int r;

	if (!made && errno != EEXIST)
		return err_text(
			e, -errno,
			"%s: %s (mount one: mount -t bpf bpf DIR, and name it with --bpffs)", bpffs,
			strerror(errno));
	if (statfs(bpffs, &fs)) {
		r = err_text(e, -errno, "%s: %s", bpffs, strerror(errno));
	} else if (fs.f_type != BPF_FS_MAGIC) {
		r = err_text(
			e, -EMEDIUMTYPE,
			"%s: is not on a bpffs (mount -t bpf bpf %s, or name another with --bpffs)",
			bpffs, bpffs);
	} else if (!stat(bpffs, &st) && (st.st_mode & (S_IWGRP | S_IWOTH)) &&
		   !(st.st_mode & S_ISVTX)) {
		r = err_text(e, -EPERM,
			     "%s: others may rename what is in it, mode %04o (chmod go-w %s, or "
			     "choose another --bpffs)",
			     bpffs, st.st_mode & 07777, bpffs);
	} else {
		snprintf(dir, sizeof(dir), "%s/ipn-fabric", bpffs);
		if (!mkdir(dir, 0750) || errno == EEXIST)
			return made;
		r = err_text(e, -errno, "%s: %s (run as root, or choose another --bpffs)", dir,
			     strerror(errno));
	}
	if (made)
		rmdir(bpffs);
	return r;
}

static int load_failed(int r, struct errtext *e)
{
	if (r == -EPERM)
		return err_text(e, r, "cannot load BPF programs: %s (run as root)", strerror(-r));
	return err_text(e, r,
			"cannot load BPF programs: %s (Linux 6.1 or newer with BTF is needed; "
			"IPN_FABRIC_DEBUG=1 shows the kernel's words)",
			strerror(-r));
}

int bpf_state_new(struct bpf_state **out, const char *bpffs, struct errtext *e)
{
	struct bpf_state *b;
	char final[200], half[sizeof(b->dir)];
	__u32 version = 0, zero = 0;
	int r;

	libbpf_set_print(quiet);
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_text(e, -ENOMEM, "out of memory");
	b->net_fast = MAP_FAILED;
	snprintf(final, sizeof(final), "%s/%s", bpffs, IPN_CTL_BPFFS_SUBDIR);
	b->adopted = bpf_pins_exist(bpffs);
	if (b->adopted) {
		r = pinned_version(final, &version);
		if (util_cannot_tell(r)) {
			r = err_text(e, r, "%s/abi: %s", final, strerror(-r));
			goto err;
		}
		if (r || version != IPN_ABI_VERSION) {
			r = err_text(e, -EPROTO,
				     "%s: was made by another version (ABI %u, this is %u) "
				     "(remove it with: ipn-fabric down)",
				     final, version, IPN_ABI_VERSION);
			goto err;
		}
		util_copy(b->dir, sizeof(b->dir), final);
	} else {
		snprintf(b->dir, sizeof(b->dir), "%s_new", final);
		bpf_tree_remove(b->dir); /* of a manager that died while it built it */
		if (mkdir(b->dir, 0750)) {
			r = err_text(e, -errno, "%s: %s", b->dir, strerror(errno));
			goto err;
		}
	}
	char sub[512];

	pin_path(b, sub, sizeof(sub), "prog");
	mkdir(sub, 0750);
	pin_path(b, sub, sizeof(sub), "link");
	mkdir(sub, 0750);
	pin_path(b, sub, sizeof(sub), "policy");
	mkdir(sub, 0750);

	r = load_all(b);
	if (r) {
		load_failed(r, e);
		goto err_dir;
	}
	take_fds(b);
	r = socks_attach(b);
	if (r) {
		load_failed(r, e);
		goto err_dir;
	}
	b->ncpus = libbpf_num_possible_cpus();
	b->net_fast = mmap(NULL, sizeof(struct ipn_net_fast) * IPN_MAX_NETS, PROT_READ | PROT_WRITE,
			   MAP_SHARED, b->fd_net_fast, 0);
	if (b->net_fast == MAP_FAILED) {
		r = err_text(e, -errno, "cannot map the networks: %s", strerror(errno));
		goto err_dir;
	}
	if (b->adopted) {
		if (bpf_map_lookup_elem(b->fd_abi, &zero, &b->abi)) {
			r = err_text(e, -errno, "%s/abi: %s", b->dir, strerror(errno));
			goto err;
		}
		r = links_update(b);
		if (r) {
			err_text(e, r, "%s/link: cannot move to the new programs: %s", b->dir,
				 strerror(-r));
			goto err;
		}
	} else {
		b->abi.version = IPN_ABI_VERSION;
		r = bpf_abi_store(b);
		if (!r && rename(b->dir, final))
			r = -errno;
		if (r) {
			err_text(e, r, "%s: %s", final, strerror(-r));
			goto err_dir;
		}
		util_copy(b->dir, sizeof(b->dir), final);
	}
	*out = b;
	return 0;

err_dir:
	util_copy(half, sizeof(half), b->adopted ? "" : b->dir);
	bpf_state_free(b); /* first: it may have taken the last descriptor */
	if (half[0])
		bpf_tree_remove(half);
	return r;
err:
	bpf_state_free(b);
	return r;
}

void bpf_state_free(struct bpf_state *b)
{
	if (!b)
		return;
	if (b->net_fast != MAP_FAILED)
		munmap(b->net_fast, sizeof(struct ipn_net_fast) * IPN_MAX_NETS);
	hooks_bpf__destroy(b->hooks);
	hub_bpf__destroy(b->hub);
	switch_bpf__destroy(b->ethernet_switch);
	xsk_bpf__destroy(b->xsk);
	l3_bpf__destroy(b->l3);
	free(b);
}

void bpf_state_unpin(struct bpf_state *b)
{
	bpf_unpin_dir(b->dir, NULL, NULL);
}

int bpf_unpin_dir(const char *dir, void (*fn)(__u32 ifindex, void *), void *arg)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/link", dir);
	d = fn ? opendir(path) : NULL;
	if (d) {
		while ((e = readdir(d)))
			if (e->d_name[0] != '.' && !strstr(e->d_name, "-grab"))
				fn(strtoul(e->d_name, NULL, 10), arg);
		closedir(d);
	}
	bpf_tree_remove(dir);
	return access(dir, F_OK) ? 0 : -EBUSY;
}

bool bpf_pins_exist(const char *bpffs)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", bpffs, IPN_CTL_BPFFS_SUBDIR);
	return !access(path, F_OK) || errno != ENOENT;
}

bool bpf_links_dead(const char *dir)
{
	char path[512];
	struct dirent *e;
	bool dead = true;
	DIR *d;

	snprintf(path, sizeof(path), "%s/link", dir);
	d = opendir(path);
	if (!d)
		return errno == ENOENT;
	while (dead && (e = readdir(d))) {
		struct bpf_link_info info = { 0 };
		__u32 len = sizeof(info);
		_cleanup_close_ int fd = -1;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/link/%s", dir, e->d_name);
		fd = bpf_obj_get(path);
		/* xdp and tcx both tell their ifindex in the first word of their part; 0: gone */
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) || info.xdp.ifindex)
			dead = false;
	}
	closedir(d);
	return dead;
}

int bpf_abi_store(struct bpf_state *b)
{
	__u32 zero = 0;

	return bpf_map_update_elem(b->fd_abi, &zero, &b->abi, BPF_ANY) ? -errno : 0;
}

static int attach_link(struct bpf_state *b, __u32 ifindex, int prog, int type, const char *hook)
{
	_cleanup_close_ int fd = -1;
	char path[512];
	int r;

	r = pin_path(b, path, sizeof(path), "link/%u-%s", ifindex, hook);
	if (r)
		return r;
	fd = bpf_link_create(prog, ifindex, type, NULL);
	if (fd < 0)
		return -errno;
	unlink(path); /* of an interface that had this number before */
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int bpf_attach_xdp(struct bpf_state *b, __u32 ifindex)
{
	return attach_link(b, ifindex, b->prog_xdp, BPF_XDP, "xdp");
}

int bpf_attach_xsk(struct bpf_state *b, __u32 ifindex)
{
	return attach_link(b, ifindex, b->prog_xsk, BPF_XDP, "xsk");
}

bool bpf_xsk_held(struct bpf_state *b, __u32 node)
{
	__u32 packet[4] = { node };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	return !bpf_prog_test_run_opts(b->prog_xsk_held, &opts) && opts.retval == XDP_PASS;
}

int bpf_attach_tc(struct bpf_state *b, __u32 ifindex, int prog)
{
	if (b->abi.hook == IPN_HOOK_CLSACT)
		return bpf_attach_clsact(ifindex, prog);
	return attach_link(b, ifindex, prog, ATTACH_TCX_INGRESS, "tcx");
}

int bpf_attach_xsk_near(struct bpf_state *b, __u32 ifindex)
{
	int r = attach_link(b, ifindex, b->prog_xdp_dev, BPF_XDP, "dev");

	if (r || b->abi.hook == IPN_HOOK_CLSACT)
		return r ? r : bpf_attach_clsact(ifindex, b->prog_tc_tap);
	return attach_link(b, ifindex, b->prog_tc_tap, ATTACH_TCX_INGRESS, "up");
}

void bpf_detach(struct bpf_state *b, __u32 ifindex)
{
	static const char *const hooks[] = { "xdp", "tcx", "grab", "cable", "xsk", "dev", "up" };
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!pin_path(b, path, sizeof(path), "link/%u-%s", ifindex, hooks[i]))
			unlink(path);
}

int bpf_links_clear(struct bpf_state *b, bool (*there)(__u32 ifindex, void *arg), void *arg)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	if (pin_path(b, path, sizeof(path), "link"))
		return -ENAMETOOLONG;
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || there(strtoul(e->d_name, NULL, 10), arg) ||
		    pin_path(b, path, sizeof(path), "link/%s", e->d_name))
			continue;
		unlink(path);
	}
	closedir(d);
	return 0;
}

int bpf_attach_cable(struct bpf_state *b, __u32 ifindex)
{
	if (b->abi.hook == IPN_HOOK_CLSACT)
		return bpf_attach_clsact(ifindex, b->prog_tc_cable);
	return attach_link(b, ifindex, b->prog_tc_cable, ATTACH_TCX_INGRESS, "cable");
}

int bpf_attach_grab(struct bpf_state *b, __u32 ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = b->prog_tc_grab, .handle = GRAB_HANDLE,
		    .priority = GRAB_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int r;

	if (b->abi.hook == IPN_HOOK_TCX)
		return attach_link(b, ifindex, b->prog_tc_grab, ATTACH_TCX_INGRESS, "grab");
	r = bpf_tc_hook_create(&hook);
	return r && r != -EEXIST ? r : bpf_tc_attach(&hook, &opts);
}

void bpf_detach_clsact_grab(__u32 ifindex, bool qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = GRAB_HANDLE, .priority = GRAB_PRIORITY);

	bpf_tc_detach(&hook, &opts);
	if (!qdisc)
		return;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}

bool bpf_grabbed(__u32 ifindex)
{
	__u32 ids[64], n = ARRAY_SIZE(ids);

	if (bpf_prog_query((int)ifindex, ATTACH_TCX_INGRESS, 0, NULL, ids, &n))
		return false;
	for (__u32 i = 0; i < n && i < ARRAY_SIZE(ids); i++) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) &&
		    !strcmp(info.name, GRAB_PROG))
			return true;
	}
	return false;
}

bool bpf_grab_pinned(struct bpf_state *b, __u32 ifindex)
{
	char path[512];

	return b->abi.hook == IPN_HOOK_CLSACT ||
	       (!pin_path(b, path, sizeof(path), "link/%u-grab", ifindex) &&
		(!access(path, F_OK) || errno != ENOENT));
}

bool bpf_tcx_works(struct bpf_state *b, __u32 ifindex)
{
	_cleanup_close_ int fd = bpf_link_create(b->prog_tc, ifindex, ATTACH_TCX_INGRESS, NULL);

	return fd >= 0;
}

int bpf_log_make(__u32 log_class, __u32 slots)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ipn_log", sizeof(__u32),
				ipn_slot_size(log_class), slots + 1, &opts);

	return fd < 0 ? -errno : fd;
}

int bpf_log_freeze(int fd)
{
	return bpf_map_freeze(fd) ? -errno : 0;
}

int bpf_log_new(__u32 log_class, __u32 slots)
{
	_cleanup_close_ int fd = bpf_log_make(log_class, slots);
	int r = fd < 0 ? fd : bpf_log_freeze(fd);

	return r ? r : util_take_fd(&fd);
}

bool bpf_log_is(int fd, __u32 slots)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.max_entries == slots + 1;
}

int bpf_log_set(struct bpf_state *b, __u32 log_class, __u32 index, int fd)
{
	return bpf_inner_set(b->fd_logs[log_class], index, fd);
}

static void close_all(int *fds, __u32 n)
{
	for (__u32 i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int bpf_nodes_fresh(struct bpf_state *b, const __u32 *nodes, __u32 n)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	_cleanup_free_ int *bells = calloc(n, sizeof(int));
	_cleanup_free_ int *pages = calloc(n, sizeof(int));
	int r = 0;
	__u32 i;

	if (!bells || !pages)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		bells[i] = pages[i] = -1;
	for (i = 0; !r && i < n; i++) {
		bells[i] =
			bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ipn_bell", 0, 0, IPN_BELL_SIZE, NULL);
		pages[i] = bells[i] < 0
				   ? -1
				   : bpf_map_create(BPF_MAP_TYPE_ARRAY, "ipn_page", sizeof(__u32),
						    sizeof(struct ipn_page), 1, &opts);
		if (pages[i] < 0)
			r = -errno;
	}
	if (!r)
		r = bpf_inner_set_many(b->fd_bells, nodes, bells, n);
	if (!r)
		r = bpf_inner_set_many(b->fd_pages, nodes, pages, n);
	close_all(bells, n);
	close_all(pages, n);
	return r;
}

int bpf_node_logs_fresh(struct bpf_state *b, __u32 log_class, __u32 slots, const __u32 *nodes,
			__u32 n)
{
	_cleanup_free_ __u32 *index = calloc(n, sizeof(*index));
	_cleanup_free_ int *fds = calloc(n, sizeof(*fds));
	int r = 0;
	__u32 i;

	if (!index || !fds)
		return -ENOMEM;
	for (i = 0; !r && i < n; i++) {
		index[i] = IPN_LOG_OF_NODE(nodes[i]);
		fds[i] = bpf_log_new(log_class, slots);
		r = fds[i] < 0 ? fds[i] : 0;
	}
	if (!r)
		r = bpf_inner_set_many(b->fd_logs[log_class], index, fds, n);
	close_all(fds, i);
	return r;
}

int bpf_logs_set(struct bpf_state *b, __u32 log_class, const __u32 *index, const int *fds, __u32 n)
{
	return bpf_inner_set_wait(b->fd_logs[log_class], index, fds, n);
}

int bpf_logs_clear(struct bpf_state *b, __u32 log_class, const __u32 *index, __u32 n)
{
	_cleanup_free_ int *fds = malloc(n * sizeof(*fds));
	_cleanup_close_ int tiny = -1;

	if (!fds)
		return -ENOMEM;
	tiny = bpf_log_new(log_class, 1);
	if (tiny < 0)
		return tiny;
	for (__u32 i = 0; i < n; i++)
		fds[i] = tiny;
	return bpf_inner_set_many(b->fd_logs[log_class], index, fds, n);
}

int bpf_room_new(struct bpf_state *b, __u32 node)
{
	_cleanup_close_ int fd =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ipn_room", 0, 0, IPN_BELL_SIZE, NULL);

	int r = fd < 0 ? -errno : bpf_inner_set(b->fd_rooms, node, fd);

	return r ? r : util_take_fd(&fd);
}

static int notify_run(struct bpf_state *b, struct ipn_notify *ctx)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = ctx, .ctx_size_in = sizeof(*ctx));

	if (bpf_prog_test_run_opts(b->prog_notify, &opts))
		return -errno;
	return opts.retval ? -ENOSPC : 0;
}

int bpf_pool_wake(struct bpf_state *b, __u32 net)
{
	struct ipn_notify ctx = { .node = net, .op = IPN_NOTIFY_POOL };

	return notify_run(b, &ctx);
}

int bpf_pool_held(struct bpf_state *b, __u32 net, __u32 port, __u32 *holder, __u64 *since)
{
	struct ipn_notify ctx = { .node = net, .op = IPN_NOTIFY_HELD, .event = { .arg = port } };
	/* what the program writes into the context comes back there */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx));

	if (bpf_prog_test_run_opts(b->prog_notify, &opts))
		return -errno;
	*holder = ctx.event.arg;
	*since = ctx.since;
	return 0;
}

int bpf_room_ring(struct bpf_state *b, __u32 node)
{
	struct ipn_notify ctx = { .node = node, .op = IPN_NOTIFY_ROOM };

	return notify_run(b, &ctx);
}

int bpf_notify(struct bpf_state *b, __u32 node, __u32 type, __u32 arg)
{
	struct ipn_notify ctx = { .node = node, .event = { .type = type, .arg = arg } };

	return notify_run(b, &ctx);
}

int bpf_stats_get(struct bpf_state *b, __u32 node, struct ipn_stats *sum)
{
	_cleanup_free_ struct ipn_stats *each = calloc(b->ncpus, sizeof(*each));

	if (!each)
		return -ENOMEM;
	if (bpf_map_lookup_elem(b->fd_stats, &node, each))
		return -errno;
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < b->ncpus; i++) {
		sum->in_packets += each[i].in_packets;
		sum->in_bytes += each[i].in_bytes;
		sum->out_packets += each[i].out_packets;
		sum->out_bytes += each[i].out_bytes;
		for (int j = 0; j < IPN_DROP_MAX; j++)
			sum->drop[j] += each[i].drop[j];
	}
	return 0;
}

int bpf_stats_zero(struct bpf_state *b, __u32 node)
{
	_cleanup_free_ struct ipn_stats *each = calloc(b->ncpus, sizeof(*each));
	const struct ipn_ring ring = { 0 };

	if (!each)
		return -ENOMEM;
	if (bpf_map_update_elem(b->fd_rings, &node, &ring, BPF_ANY))
		return -errno;
	return bpf_map_update_elem(b->fd_stats, &node, each, BPF_ANY) ? -errno : 0;
}
