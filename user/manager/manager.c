// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager's life: start, readiness, event loop, end.
 *
 * Two locks keep managers apart: RUN_DIR/lock, and the fabric's directory on the bpffs, so that
 * neither two managers of one run directory nor two fabrics on one set of pins can be. Both are
 * held by descriptor, so they go with the process however it ends. The lock file says who holds it,
 * and which directories the fabric made, for the one that will remove them.
 *
 * Without --foreground the parent waits until the child is ready, or has said why it is not.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define LOCK_FILE "lock"

/* --- directories and locks --- */

static int netns_enter(const char *name, struct answer *a)
{
	char path[128];
	_cleanup_close_ int fd = -1;

	if (!name)
		return 0;
	snprintf(path, sizeof(path), strchr(name, '/') ? "%s" : "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ANSWER(a, -errno, "network namespace %s: %s (make it with: ip netns add %s)",
			      name, strerror(errno), name);
	if (setns(fd, CLONE_NEWNET))
		return ANSWER(a, -errno, "network namespace %s: %s", name, strerror(errno));
	return 0;
}

/* What the last manager wrote into the lock file. */
static void lock_read(struct manager *m, char *pid, size_t size)
{
	char text[128] = "";
	ssize_t n = pread(m->lock_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	m->made_run_dir |= strstr(text, " run_dir") != NULL;
	m->made_bpffs_dir |= strstr(text, " bpffs_dir") != NULL;
	snprintf(pid, size, "%.*s", (int)strcspn(text, " \n"), text);
}

static int lock_write(struct manager *m)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%d%s%s\n", getpid(),
			 m->made_run_dir ? " run_dir" : "", m->made_bpffs_dir ? " bpffs_dir" : "");

	if (ftruncate(m->lock_fd, 0) || pwrite(m->lock_fd, text, (size_t)n, 0) != n)
		return -errno;
	return 0;
}

static int lock_run_dir(struct manager *m, struct answer *a)
{
	const char *dir = m->opts.run_dir;
	char pid[32];

	if (strlen(dir) + sizeof("/" IPN_CTL_SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path))
		return ANSWER(a, -ENAMETOOLONG,
			      "%s: too long for a socket in it (choose a shorter --run-dir)", dir);
	if (!mkdir(dir, 0755))
		m->made_run_dir = true;
	else if (errno != EEXIST)
		return ANSWER(a, -errno, "%s: %s (choose another with --run-dir)", dir,
			      strerror(errno));
	m->run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->run_fd < 0)
		return ANSWER(a, -errno, "%s: %s (choose another with --run-dir)", dir,
			      strerror(errno));
	m->lock_fd = openat(m->run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (m->lock_fd < 0)
		return ANSWER(a, -errno, "%s/%s: %s (run as root, or choose another --run-dir)",
			      dir, LOCK_FILE, strerror(errno));
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB)) {
		lock_read(m, pid, sizeof(pid));
		return ANSWER(a, -EBUSY,
			      "a manager runs already in %s, pid %s (end it with: ipn-fabric down)",
			      dir, pid);
	}
	lock_read(m, pid, sizeof(pid));
	m->run_locked = true;
	return 0;
}

static int lock_bpffs(struct manager *m, struct answer *a)
{
	char dir[256];
	int r;

	r = bpf_dir_make(m->opts.bpffs, a->text, sizeof(a->text));
	if (r < 0)
		return r;
	m->made_bpffs_dir |= r;
	snprintf(dir, sizeof(dir), "%s/ipn-fabric", m->opts.bpffs);
	m->bpf_lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->bpf_lock_fd < 0)
		return ANSWER(a, -errno, "%s: %s (run as root, or choose another --bpffs)", dir,
			      strerror(errno));
	if (flock(m->bpf_lock_fd, LOCK_EX | LOCK_NB))
		return ANSWER(a, -EBUSY,
			      "%s: belongs to a manager of another run directory "
			      "(choose another --bpffs)",
			      dir);
	m->locked = true;
	return 0;
}

/* --- start --- */

static int same_netns(struct manager *m, struct answer *a)
{
	__u32 inode;
	int r = link_netns_inode(&inode);

	if (r)
		return ANSWER(a, r, "cannot tell the network namespace: %s", strerror(-r));
	if (m->bpf->adopted && m->bpf->abi.netns && m->bpf->abi.netns != inode)
		return ANSWER(a, -EXDEV,
			      "%s: its fabric lives in another network namespace, inode %u "
			      "(go there, or choose another --bpffs)",
			      m->bpf->dir, m->bpf->abi.netns);
	m->bpf->abi.netns = inode;
	return 0;
}

static int link_open(struct manager *m)
{
	struct ipn_abi *abi = &m->bpf->abi;

	if (!abi->group) {
		if (getrandom(&abi->group, sizeof(abi->group), 0) != sizeof(abi->group))
			return -errno;
		abi->group = (abi->group & 0x00ffffff) |
			     0x49000000; /* 'I', and 24 bits of our own */
	}
	return link_ctx_new(&m->link, abi->group);
}

static int choose_hook(struct manager *m, enum config_hook wanted, struct answer *a)
{
	struct ipn_abi *abi = &m->bpf->abi;

	if (m->bpf->adopted && abi->gateway)
		return 0; /* what stands, stands */
	if (wanted == CONFIG_HOOK_CLSACT ||
	    (wanted == CONFIG_HOOK_AUTO && !bpf_tcx_works(m->bpf, 1)))
		abi->hook = IPN_HOOK_CLSACT;
	else
		abi->hook = IPN_HOOK_TCX;
	if (wanted == CONFIG_HOOK_TCX && !bpf_tcx_works(m->bpf, 1))
		return ANSWER(a, -EOPNOTSUPP,
			      "hook = tcx: this kernel has none (Linux 6.6 or newer; "
			      "leave the choice with: hook = auto)");
	return 0;
}

static int on_link(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct manager *m = arg;
	int r = link_watch_read(fd, node_link_event, m);

	(void)source;
	(void)events;
	if (r == -ENOBUFS)
		node_check_links(m);
	else if (r)
		say(LOG_ERR, "cannot watch interfaces: %s", strerror(-r));
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct manager *m = arg;

	(void)source;
	say(LOG_INFO, "ends on signal %u; the fabric goes on without it", si->ssi_signo);
	return sd_event_exit(m->event, 0);
}

static int loop_open(struct manager *m)
{
	static const int signals[] = { SIGTERM, SIGINT };
	sigset_t set;
	int r = sd_event_new(&m->event);

	if (r < 0)
		return r;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		r = sd_event_add_signal(m->event, NULL, signals[i], on_signal, m);
		if (r < 0)
			return r;
	}
	netdev_watch_holders(m);
	r = xsk_watch(m);
	if (r)
		return r;
	r = closer_new(m);
	if (r < 0)
		return r;
	r = sd_event_add_io(m->event, NULL, m->watch_fd, EPOLLIN, on_link, m);
	return r < 0 ? r : 0;
}

/* Stale pins: those of a fabric whose namespace is gone with all its interfaces. */
static int wipe_if_dead(struct manager *m, struct answer *a)
{
	char dir[256];
	__u32 inode = 0;

	link_netns_inode(&inode);
	if (!m->bpf->adopted || !m->bpf->abi.netns || m->bpf->abi.netns == inode ||
	    !bpf_links_dead(m->bpf->dir))
		return 0;
	util_copy(dir, sizeof(dir), m->bpf->dir);
	say(LOG_NOTICE, "%s: removed what a fabric left whose network namespace is gone", dir);
	bpf_state_unpin(m->bpf);
	bpf_state_free(m->bpf);
	m->bpf = NULL;
	return bpf_state_new(&m->bpf, m->opts.bpffs, a->text, sizeof(a->text));
}

/* Everything up to the point where requests can be answered. */
static int start(struct manager *m, const struct config *config, struct answer *a)
{
	int r;

	r = lock_run_dir(m, a);
	if (!r)
		r = netns_enter(m->opts.netns, a);
	if (r)
		return r;
	r = lock_bpffs(m, a);
	if (!r)
		r = bpf_state_new(&m->bpf, m->opts.bpffs, a->text, sizeof(a->text));
	if (!r)
		r = wipe_if_dead(m, a);
	if (!r)
		r = same_netns(m, a);
	if (!r)
		r = choose_hook(m, config ? config->hook : CONFIG_HOOK_AUTO, a);
	if (r)
		return r;
	r = link_open(m);
	if (!r)
		r = bpf_abi_store(m->bpf);
	if (!r) {
		/* before anything is looked at, so that no change falls between */
		m->watch_fd = link_watch_open();
		r = m->watch_fd < 0 ? m->watch_fd : 0;
	}
	if (!r)
		r = adopt(m);
	if (!r)
		r = node_refill(m);
	if (r)
		return ANSWER(a, r, "cannot set up the fabric: %s", strerror(-r));
	return 0;
}

static int config_net_add(struct manager *m, const struct config_net *n, struct answer *a)
{
	struct ipn_network info = { .policy = n->policy,
				    .flags = n->flags,
				    .mtu = n->mtu,
				    .numnodes = n->numnodes,
				    .pool = n->pool,
				    .mode = n->mode,
				    .routes = n->routes,
				    .persistent = 1,
				    .uid = geteuid() };
	struct perm_inode inode;
	struct answer why;
	_cleanup_close_ int fd = -1;
	bool made = false;
	struct net *net;
	mode_t mask;
	int r;

	if (n->policy_name[0]) {
		info.policy = policy_find(m, n->policy_name);
		if (!info.policy)
			return ANSWER(a, -EPROTONOSUPPORT,
				      "%s:%u: policy: \"%s\" is not switch, broadcast, hub or a "
				      "policy that is loaded (see: ipn-fabric policy list)",
				      m->opts.config, n->policy_line, n->policy_name);
	}
	mask = umask(0);
	made = !mknod(n->path, S_IFSOCK | n->mode, 0);
	r = made ? 0 : -errno;
	umask(mask);
	if (r && r != -EEXIST)
		return ANSWER(a, r, "network %s: %s", n->path, strerror(-r));
	fd = open(n->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || perm_inode_get(fd, &inode))
		return ANSWER(a, -errno, "network %s: %s", n->path, strerror(errno));
	net = net_find(m, &inode);
	if (net) {
		if (net->info.policy == info.policy && net->info.flags == n->flags &&
		    net->info.mtu == n->mtu && net->info.numnodes == n->numnodes &&
		    net->info.pool == n->pool)
			return 0;
		return ANSWER(a, -EEXIST,
			      "network %s: is there with other properties "
			      "(remove it with: ipn-fabric net del %s)",
			      n->path, n->path);
	}
	if (!S_ISSOCK(inode.mode))
		return ANSWER(a, -ENOTSOCK,
			      "network %s: exists and is not an IPN network "
			      "(remove the file, or choose another path)",
			      n->path);
	util_copy(info.path, sizeof(info.path), n->path);
	r = local_check(fd, 0, &why);
	r = r ? ANSWER(a, r, "network %s: %s", n->path, why.text)
	      : net_add(m, &info, fd, &inode, &net, a);
	if (!r)
		net->from_config = true;
	else if (made)
		unlink(n->path);
	return r;
}

static int config_cable_add(struct manager *m, const struct config_port *p, struct answer *a)
{
	const char *paths[2] = { p->path, p->cable };
	const __s32 ports[2] = { p->port, IPN_PORTNO_ANY };
	const struct node_want want = { .uid = geteuid(), .netns_fd = -1, .descr = p->descr };
	struct net *nets[2];
	struct node *ends[2];
	int r;

	for (int i = 0; i < 2; i++) {
		_cleanup_close_ int fd = open(paths[i], O_PATH | O_CLOEXEC | O_NOFOLLOW);
		struct perm_inode inode;

		if (fd < 0 || perm_inode_get(fd, &inode) || !(nets[i] = net_find(m, &inode)))
			return ANSWER(a, -ENOENT, "port %s: %s is no network", p->label, paths[i]);
	}
	for (__u32 i = 0; i < nets[0]->info.numnodes; i++) {
		struct node *node = nets[0]->ports[i];

		if (node && node->peer && node->peer->net == nets[1] &&
		    (p->port < 0 || (__u32)p->port == i))
			return 0; /* adopted */
	}
	r = cable_add(nets, &want, ports, ends, a);
	for (int i = 0; !r && i < 2; i++)
		ends[i]->from_config = true;
	return r;
}

static int config_port_add(struct manager *m, const struct config_port *p, struct answer *a)
{
	struct node_want want = { .kind = p->kind,
				  .port = p->port,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .uid = geteuid(),
				  .name = p->name,
				  .netns_fd = -1,
				  .frames = p->frames,
				  .frame_size = p->frame_size,
				  .own = p->own,
				  .descr = p->descr };
	_cleanup_close_ int path_fd = open(p->path, O_PATH | O_CLOEXEC | O_NOFOLLOW), netns_fd = -1;
	struct perm_inode inode;
	struct node *node;
	struct net *net;
	char ns[128];
	int r;

	if (path_fd < 0 || perm_inode_get(path_fd, &inode) || !(net = net_find(m, &inode)))
		return ANSWER(a, -ENOENT, "port %s: %s is no network", p->label, p->path);
	for (__u32 i = 0; i < net->info.numnodes; i++)
		if (net->ports[i] && !strcmp(net->ports[i]->port.name, p->name))
			return 0; /* adopted */
	if (p->netns[0]) {
		snprintf(ns, sizeof(ns), strchr(p->netns, '/') ? "%s" : "/run/netns/%s", p->netns);
		netns_fd = open(ns, O_RDONLY | O_CLOEXEC);
		if (netns_fd < 0)
			return ANSWER(a, -errno, "port %s: network namespace %s: %s", p->label,
				      p->netns, strerror(errno));
	}
	want.netns_fd = netns_fd;
	r = node_attach(net, &want, &node, a);
	if (!r)
		node->from_config = true;
	return r;
}

/*
 * The path of a network that `net add` made goes with it, if it still is the same inode. The path
 * is a user's word, and its directories may be his: what was looked at and what is removed must be
 * in one directory, however the way there changes meanwhile.
 */
static void path_remove(const struct net *net)
{
	char dir[IPN_PATH_MAX], *name;
	_cleanup_close_ int dir_fd = -1, fd = -1;
	struct perm_inode inode;

	if (!net->info.persistent || util_copy(dir, sizeof(dir), net->info.path))
		return;
	name = strrchr(dir, '/');
	if (!name)
		return;
	*name++ = '\0';
	dir_fd = open(*dir ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return;
	fd = openat(dir_fd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && !perm_inode_get(fd, &inode) && inode.dev == net->info.dev &&
	    inode.ino == net->info.ino)
		unlinkat(dir_fd, name, 0);
}

/* A file that cannot be carried out leaves nothing of itself. */
static void config_undo(struct manager *m)
{
	/* by number: with one of them others may go */
	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (m->node_by_id[i] && m->node_by_id[i]->from_config)
			node_del(m->node_by_id[i], 0, false);
	for (__u32 i = 0; i < IPN_MAX_NETS; i++) {
		struct net *net = m->net_by_id[i];

		if (!net || !net->from_config)
			continue;
		path_remove(net);
		net_del(net);
	}
}

static struct net *config_net_find(struct manager *m, const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct perm_inode inode;

	return fd < 0 || perm_inode_get(fd, &inode) ? NULL : net_find(m, &inode);
}

/* An option of a router. What is there already stays: the last manager carried out this file. */
static int config_l3_add(struct manager *m, const struct config *config, struct config_l3 *l3,
			 struct answer *a)
{
	const struct config_port *port = config->ports;
	const char *path = l3->path;
	struct ipn_call *call;
	struct net *net;
	__u32 number = 0;
	int r;

	if (l3->label[0]) {
		while (port && strcmp(port->label, l3->label) != 0)
			port = port->next;
		path = port ? port->path : "";
	} else {
		port = NULL;
	}
	net = config_net_find(m, path);
	if (!net || net->info.policy != IPN_POLICY_L3)
		return ANSWER(a, -EINVAL,
			      "%s: has no policy l3, so neither addresses, routes nor neighbours",
			      path);
	for (; port && number < net->info.numnodes; number++)
		if (net->ports[number] && !strcmp(net->ports[number]->port.name, port->name))
			break;
	if (l3->option == IPN_L3_ADDR_ADD)
		l3->addr.port = number;
	else if (l3->option == IPN_L3_NEIGH_ADD)
		l3->neigh.port = number;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->name = l3->option;
	call->len = l3->option == IPN_L3_ADDR_ADD    ? sizeof(l3->addr)
		    : l3->option == IPN_L3_ROUTE_ADD ? sizeof(l3->route)
						     : sizeof(l3->neigh);
	memcpy(call->data, &l3->addr, call->len);
	r = policy_option(net, NULL, IPN_CALL_SETSOCKOPT, call, a);
	free(call);
	return r == -EEXIST ? 0 : r;
}

static int config_apply(struct manager *m, const struct config *config, struct answer *a)
{
	int r = 0;

	for (struct config_net *n = config->nets; !r && n; n = n->next)
		r = config_net_add(m, n, a);
	for (struct config_port *p = config->ports; !r && p; p = p->next)
		r = p->kind == IPN_KIND_CABLE ? config_cable_add(m, p, a)
					      : config_port_add(m, p, a);
	/* addresses first: next hops are behind them */
	for (struct config_l3 *l = config->l3; !r && l; l = l->next)
		if (l->option == IPN_L3_ADDR_ADD)
			r = config_l3_add(m, config, l, a);
	for (struct config_l3 *l = config->l3; !r && l; l = l->next)
		if (l->option != IPN_L3_ADDR_ADD)
			r = config_l3_add(m, config, l, a);
	if (r)
		config_undo(m);
	return r;
}

/* --- end --- */

static void remove_run_files(struct manager *m)
{
	unlinkat(m->run_fd, IPN_CTL_SOCKET, 0);
	unlinkat(m->run_fd, LOCK_FILE, 0);
	if (m->made_run_dir)
		rmdir(m->opts.run_dir);
}

/* Pins, locks and directories that this fabric made. Only for who holds the locks. */
static void remove_files(struct manager *m)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/%s", m->opts.bpffs, IPN_CTL_BPFFS_SUBDIR);
	bpf_unpin_dir(dir, NULL, NULL);
	*strrchr(dir, '/') = '\0';
	rmdir(dir);
	if (m->made_bpffs_dir)
		rmdir(m->opts.bpffs);
	remove_run_files(m);
}

/* `down`: all that the fabric made goes, and nothing else. */
static void remove_all(struct manager *m)
{
	policy_load_cancel_all(m); /* or it would go on pinning */
	while (m->nets) {          /* with one of them others may go */
		path_remove(m->nets);
		net_del(m->nets);
	}
	keep_end(m);
	node_orphans_end(m);
	if (m->link && m->bpf && m->bpf->abi.gateway)
		link_del(m->link, m->bpf->abi.gateway);
	remove_files(m);
}

/* Lets go of everything; the fabric stands unless remove_all went before. */
static void manager_close(struct manager *m)
{
	struct net *net, *tmp;
	struct node *node, *ntmp;

	m->closing = true;
	keep_free(m);
	door_free_all(m);
	punt_end(m);
	/* not session_free: that would end their nodes */
	HASH_ITER(hh, m->nodes, node, ntmp) {
		HASH_DEL(m->nodes, node);
		if (node->session)
			session_drop_node(node->session);
		sd_event_source_disable_unref(node->holder);
		xsk_free(node);
		sock_let_go(node);
		free(node);
	}
	HASH_ITER(hh, m->nets, net, tmp) {
		HASH_DEL(m->nets, net);
		session_drop_net(m, net);
		close(net->log_fd);
		if (net->path_fd >= 0)
			close(net->path_fd);
		free(net->ports);
		free(net);
	}
	policy_load_cancel_all(m);
	sessions_forget(m);
	if (closer_free(m))
		users_free(m);
	sd_event_source_disable_unref(m->refill);
	sd_event_source_disable_unref(m->counts);
	sd_event_source_disable_unref(m->overruns);
	sd_event_source_disable_unref(m->sock_look);
	sd_event_source_disable_unref(m->orphan_timer);
	sd_event_unref(m->event);
	policy_free_all(m);
	link_ctx_free(m->link);
	bpf_state_free(m->bpf);
	int *fds[] = { &m->run_fd,    &m->lock_fd,  &m->bpf_lock_fd,
		       &m->listen_fd, &m->watch_fd, &m->spare_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		util_close_fd(fds[i]);
	free(m);
}

static struct manager *manager_new(const struct manager_opts *opts)
{
	struct rlimit memory = { RLIM_INFINITY, RLIM_INFINITY }, files;
	struct manager *m = calloc(1, sizeof(*m));
	struct timespec t;

	if (!m)
		return NULL;
	m->opts = *opts;
	m->run_fd = m->lock_fd = m->bpf_lock_fd = m->listen_fd = m->watch_fd = -1;
	m->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &t);
	m->started = (__u64)t.tv_sec * 1000000 + (__u64)t.tv_nsec / 1000;
	setrlimit(RLIMIT_MEMLOCK, &memory);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return m;
}

/* --- running --- */

/* Tells the parent; from here on nobody reads our stderr. */
static int ready(struct manager *m, int *ready_fd)
{
	int null;

	sd_notifyf(0, "READY=1\nSTATUS=%s %u networks, %u ports\nMAINPID=%d",
		   m->bpf->adopted ? "took over" : "made", HASH_COUNT(m->nets),
		   HASH_COUNT(m->nodes), getpid());
	if (*ready_fd < 0)
		return 0;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	say_to_syslog();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	if (write(*ready_fd, "", 1) != 1)
		return -errno;
	close(*ready_fd);
	*ready_fd = -1;
	return 0;
}

static int serve(const struct manager_opts *opts, int ready_fd)
{
	struct manager *m = manager_new(opts);
	struct config *config = NULL;
	struct answer a = { "" };
	bool pins_before = bpf_pins_exist(opts->bpffs);
	int r;

	if (!m)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	r = opts->config ? config_read(opts->config, &config, a.text, sizeof(a.text)) : 0;
	if (!r)
		r = start(m, config, &a);
	if (!r)
		r = loop_open(m);
	if (!r)
		r = lock_write(m);
	if (!r)
		door_adopt(m);
	if (!r && config)
		r = config_apply(m, config, &a);
	if (!r)
		r = session_listen(m);
	if (!r)
		keep_begin(m);
	if (!r)
		r = ready(m, &ready_fd);
	if (!r)
		r = sd_event_loop(m->event) < 0 ? -EIO : 0;
	else
		fprintf(stderr, "up: %s\n", a.text[0] ? a.text : strerror(-r));
	/*
	 * a fabric that failed to come up leaves nothing; one that was there before stays as it was
	 */
	if (m->down || (r && m->locked && !pins_before))
		remove_all(m);
	else if (r && m->run_locked && !m->locked)
		remove_run_files(m);
	config_free(config);
	sd_notify(0, "STOPPING=1");
	manager_close(m);
	return r ? 1 : 0;
}

int manager_run(const struct manager_opts *opts)
{
	int fds[2], status;
	char byte;
	pid_t pid;

	if (opts->foreground)
		return serve(opts, -1);
	if (pipe2(fds, O_CLOEXEC)) {
		fprintf(stderr, "up: %s\n", strerror(errno));
		return 1;
	}
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "up: cannot start a process: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		close(fds[0]);
		setsid();
		_exit(serve(opts, fds[1]));
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		return 0;
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "up: the manager died while it started (status 0x%x)\n", status);
	return 1;
}

/* --- down without a manager --- */

static void remove_by_link(__u32 ifindex, void *arg)
{
	struct link_info info;
	struct link_ctx *link = arg;

	if (!link_get(link, ifindex, &info) &&
	    (!strcmp(info.kind, "veth") || !strcmp(info.kind, "tun")))
		link_del(link, ifindex);
}

/* Pins that this version cannot read: their links tell the interfaces, and that is enough. */
static int remove_foreign(struct manager *m, struct answer *a)
{
	struct link_ctx *link;
	char dir[256];
	int r = netns_enter(m->opts.netns, a);

	if (r)
		return r;
	r = link_ctx_new(&link, 0);
	if (r)
		return ANSWER(a, r, "netlink: %s", strerror(-r));
	snprintf(dir, sizeof(dir), "%s/%s", m->opts.bpffs, IPN_CTL_BPFFS_SUBDIR);
	r = bpf_unpin_dir(dir, remove_by_link, link);
	link_ctx_free(link);
	return r ? ANSWER(a, r, "%s: cannot remove all of it", dir) : 0;
}

int manager_down_offline(const struct manager_opts *opts)
{
	struct manager *m = manager_new(opts);
	struct answer a = { "" };
	int r;

	if (!m)
		return 1;
	if (!bpf_pins_exist(opts->bpffs)) {
		fprintf(stderr,
			"down: no fabric is here: nothing runs in %s and nothing is pinned in %s\n",
			opts->run_dir, opts->bpffs);
		manager_close(m);
		return 1;
	}
	r = start(m, NULL, &a);
	if (!r)
		r = loop_open(m);
	if (!r)
		door_adopt(m); /* so that their files go */
	if (r == -EPROTO)
		r = remove_foreign(m, &a);
	if (!r)
		remove_all(m);
	if (r)
		fprintf(stderr, "down: %s\n", a.text);
	manager_close(m);
	return r ? 1 : 0;
}
