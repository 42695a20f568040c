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

static int netns_enter(const char *name, struct errtext *a)
{
	char path[128];
	_cleanup_close_ int fd = -1;

	if (!name)
		return 0;
	snprintf(path, sizeof(path), strchr(name, '/') ? "%s" : "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_text(a, -errno,
				"network namespace %s: %s (make it with: ip netns add %s)", name,
				strerror(errno), name);
	if (setns(fd, CLONE_NEWNET))
		return err_text(a, -errno, "network namespace %s: %s", name, strerror(errno));
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

static int lock_run_dir(struct manager *m, struct errtext *a)
{
	const char *dir = m->opts.run_dir;
	char pid[32];

	if (strlen(dir) + sizeof("/" IPN_CTL_SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_text(a, -ENAMETOOLONG,
				"%s: too long for a socket in it (choose a shorter --run-dir)",
				dir);
	if (!mkdir(dir, 0755))
		m->made_run_dir = true;
	else if (errno != EEXIST)
		return err_text(a, -errno, "%s: %s (choose another with --run-dir)", dir,
				strerror(errno));
	m->run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->run_fd < 0)
		return err_text(a, -errno, "%s: %s (choose another with --run-dir)", dir,
				strerror(errno));
	m->lock_fd = openat(m->run_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (m->lock_fd < 0)
		return err_text(a, -errno, "%s/%s: %s (run as root, or choose another --run-dir)",
				dir, LOCK_FILE, strerror(errno));
	if (flock(m->lock_fd, LOCK_EX | LOCK_NB)) {
		lock_read(m, pid, sizeof(pid));
		return err_text(
			a, -EBUSY,
			"a manager runs already in %s, pid %s (end it with: ipn-fabric down)", dir,
			pid);
	}
	lock_read(m, pid, sizeof(pid));
	m->run_locked = true;
	return 0;
}

static int lock_bpffs(struct manager *m, struct errtext *a)
{
	char dir[256];
	int r;

	r = bpf_dir_make(m->opts.bpffs, a);
	if (r < 0)
		return r;
	m->made_bpffs_dir |= r;
	snprintf(dir, sizeof(dir), "%s/ipn-fabric", m->opts.bpffs);
	m->bpf_lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->bpf_lock_fd < 0)
		return err_text(a, -errno, "%s: %s (run as root, or choose another --bpffs)", dir,
				strerror(errno));
	if (flock(m->bpf_lock_fd, LOCK_EX | LOCK_NB))
		return err_text(a, -EBUSY,
				"%s: belongs to a manager of another run directory "
				"(choose another --bpffs)",
				dir);
	m->locked = true;
	return 0;
}

/* --- start --- */

static int same_netns(struct manager *m, struct errtext *a)
{
	__u32 inode;
	int r = link_netns_inode(&inode);

	if (r)
		return err_text(a, r, "cannot tell the network namespace: %s", strerror(-r));
	if (m->bpf->adopted && m->bpf->abi.netns && m->bpf->abi.netns != inode)
		return err_text(a, -EXDEV,
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

static int choose_hook(struct manager *m, enum config_hook wanted, struct errtext *a)
{
	struct ipn_abi *abi = &m->bpf->abi;

	if (m->bpf->adopted && abi->segmenter)
		return 0; /* what stands, stands */
	if (wanted == CONFIG_HOOK_CLSACT ||
	    (wanted == CONFIG_HOOK_AUTO && !bpf_tcx_works(m->bpf, 1)))
		abi->hook = IPN_HOOK_CLSACT;
	else
		abi->hook = IPN_HOOK_TCX;
	if (wanted == CONFIG_HOOK_TCX && !bpf_tcx_works(m->bpf, 1))
		return err_text(a, -EOPNOTSUPP,
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
		log_err("cannot watch interfaces: %s", strerror(-r));
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct manager *m = arg;

	(void)source;
	log_info("ends on signal %u; the fabric goes on without it", si->ssi_signo);
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
	r = async_close_new(m);
	if (r < 0)
		return r;
	r = sd_event_add_io(m->event, NULL, m->watch_fd, EPOLLIN, on_link, m);
	return r < 0 ? r : 0;
}

/* Stale pins: those of a fabric whose namespace is gone with all its interfaces. */
static int wipe_if_dead(struct manager *m, struct errtext *a)
{
	char dir[256];
	__u32 inode = 0;

	link_netns_inode(&inode);
	if (!m->bpf->adopted || !m->bpf->abi.netns || m->bpf->abi.netns == inode ||
	    !bpf_links_dead(m->bpf->dir))
		return 0;
	util_copy(dir, sizeof(dir), m->bpf->dir);
	log_notice("%s: removed what a fabric left whose network namespace is gone", dir);
	bpf_state_unpin(m->bpf);
	bpf_state_free(m->bpf);
	m->bpf = NULL;
	return bpf_state_new(&m->bpf, m->opts.bpffs, a);
}

/* Everything up to the point where requests can be answered. */
static int start(struct manager *m, const struct config *config, struct errtext *a)
{
	int r;

	r = lock_run_dir(m, a);
	if (!r)
		r = netns_enter(m->opts.netns, a);
	if (r)
		return r;
	r = lock_bpffs(m, a);
	if (!r)
		r = bpf_state_new(&m->bpf, m->opts.bpffs, a);
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
		return err_text(a, r, "cannot set up the fabric: %s", strerror(-r));
	return 0;
}

/*
 * The path of a network that `net add` made goes with it, if it still is the same inode. The path
 * is a user's word, and its directories may be his: what was looked at and what is removed must be
 * in one directory, however the way there changes meanwhile.
 */
void net_path_remove(const struct net *net)
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

	util_close_fd(&m->spare_fd); /* if there are no others, one is enough here */
	m->spare_fd = -1;
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
		net_path_remove(m->nets);
		net_del(m->nets);
	}
	fdstore_end(m);
	node_orphans_end(m);
	if (m->link && m->bpf && m->bpf->abi.segmenter)
		link_del(m->link, m->bpf->abi.segmenter);
	remove_files(m);
}

/* Lets go of everything; the fabric stands unless remove_all went before. */
static void manager_close(struct manager *m)
{
	struct net *net, *tmp;
	struct node *node, *ntmp;

	m->closing = true;
	fdstore_free(m);
	listener_free_all(m);
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
	if (async_close_free(m))
		users_free(m);
	sd_event_source_disable_unref(m->refill);
	sd_event_source_disable_unref(m->counts);
	sd_event_source_disable_unref(m->overruns);
	sd_event_source_disable_unref(m->sock_check);
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
	log_to_syslog();
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
	struct errtext a = { "" };
	bool pins_before = bpf_pins_exist(opts->bpffs);
	int r;

	if (!m)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	r = opts->config ? config_read(opts->config, &config, &a) : 0;
	if (!r)
		r = start(m, config, &a);
	if (!r)
		r = loop_open(m);
	if (!r)
		r = lock_write(m);
	if (!r)
		listener_adopt(m);
	if (!r && config)
		r = config_apply(m, config, &a);
	if (!r)
		r = session_listen(m);
	if (!r)
		fdstore_begin(m);
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
static int remove_foreign(struct manager *m, struct errtext *a)
{
	struct link_ctx *link;
	char dir[256];
	int r = netns_enter(m->opts.netns, a);

	if (r)
		return r;
	r = link_ctx_new(&link, 0);
	if (r)
		return err_text(a, r, "netlink: %s", strerror(-r));
	snprintf(dir, sizeof(dir), "%s/%s", m->opts.bpffs, IPN_CTL_BPFFS_SUBDIR);
	r = bpf_unpin_dir(dir, remove_by_link, link);
	link_ctx_free(link);
	return r ? err_text(a, r, "%s: cannot remove all of it", dir) : 0;
}

int manager_down_offline(const struct manager_opts *opts)
{
	struct manager *m = manager_new(opts);
	struct errtext a = { "" };
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
		listener_adopt(m); /* so that their files go */
	if (r == -EPROTO)
		r = remove_foreign(m, &a);
	if (!r)
		remove_all(m);
	if (r)
		fprintf(stderr, "down: %s\n", a.text);
	manager_close(m);
	return r ? 1 : 0;
}
