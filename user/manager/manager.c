// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager's life: start, readiness, event loop, end.
 *
 * Without --foreground the parent waits until the child is ready, or has said why it is not.
 */
#include "manager/manager.h"

#include <fcntl.h>
#include <ipn/control.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/async_close.h"
#include "manager/access/powers.h"
#include "manager/access/quota.h"
#include "manager/access/work.h"
#include "manager/adopt.h"
#include "manager/config/apply.h"
#include "manager/config/config.h"
#include "manager/control/session.h"
#include "manager/core/ids.h"
#include "manager/core/interfaces.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/objects.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/lock.h"
#include "manager/policies/loader.h"
#include "manager/ports/kinds.h"
#include "manager/ports/listener.h"

struct manager {
	struct manager_opts opts;
	struct fabric f;
	struct control *control;
	struct lock lock;
	int watch_fd; /* changes of interfaces */
	bool down;    /* remove everything on the way out */
};

/* --- start --- */

/* seccomp: manager: setns getrandom */
static int netns_enter(const char *name, struct errtext *e)
{
	char path[128];
	_cleanup_close_ int fd = -1;

	if (!name)
		return 0;
	snprintf(path, sizeof(path), strchr(name, '/') ? "%s" : "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_text(e, -errno,
				"network namespace %s: %s (make it with: ip netns add %s)", name,
				strerror(errno), name);
	if (setns(fd, CLONE_NEWNET))
		return err_text(e, -errno, "network namespace %s: %s", name, strerror(errno));
	return 0;
}

static int same_netns(struct manager *m, struct errtext *e)
{
	__u32 inode;
	int r = link_netns_inode(&inode);

	if (r)
		return err_text(e, r, "cannot tell the network namespace: %s", strerror(-r));
	if (m->f.bpf->adopted && m->f.bpf->abi.netns && m->f.bpf->abi.netns != inode)
		return err_text(e, -EXDEV,
				"%s: its fabric lives in another network namespace, inode %u "
				"(go there, or choose another --bpffs)",
				m->f.bpf->dir, m->f.bpf->abi.netns);
	m->f.bpf->abi.netns = inode;
	return 0;
}

static int link_open(struct manager *m)
{
	struct ipn_abi *abi = &m->f.bpf->abi;

	if (!abi->group) {
		if (getrandom(&abi->group, sizeof(abi->group), 0) != sizeof(abi->group))
			return -errno;
		abi->group = (abi->group & 0x00ffffff) |
			     0x49000000; /* 'I', and 24 bits of our own */
	}
	return link_ctx_new(&m->f.link, abi->group);
}

static int choose_hook(struct manager *m, enum config_hook wanted, struct errtext *e)
{
	struct ipn_abi *abi = &m->f.bpf->abi;

	if (m->f.bpf->adopted && abi->segmenter)
		return 0; /* what stands, stands */
	if (wanted == CONFIG_HOOK_CLSACT ||
	    (wanted == CONFIG_HOOK_AUTO && !bpf_tcx_works(m->f.bpf, 1)))
		abi->hook = IPN_HOOK_CLSACT;
	else
		abi->hook = IPN_HOOK_TCX;
	if (wanted == CONFIG_HOOK_TCX && !bpf_tcx_works(m->f.bpf, 1))
		return err_text(e, -EOPNOTSUPP,
				"hook = tcx: this kernel has none (Linux 6.6 or newer; "
				"leave the choice with: hook = auto)");
	return 0;
}

static int on_link(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct fabric *f = arg;
	int r = link_watch_read(fd, interface_event, f);

	(void)source;
	(void)events;
	if (r == -ENOBUFS)
		interfaces_check(f);
	else if (r)
		log_err("cannot watch interfaces: %s", strerror(-r));
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct manager *m = arg;

	(void)source;
	log_info("ends on signal %u; the fabric goes on without it", si->ssi_signo);
	return sd_event_exit(m->f.event, 0);
}

/* It may have been a descriptor of a client that was closed. */
static void on_work_done(void *arg)
{
	struct manager *m = arg;

	if (m->control)
		control_go_on(m->control);
}

static void on_down(void *arg)
{
	struct manager *m = arg;

	m->down = true;
	sd_event_exit(m->f.event, 0);
}

/* seccomp: manager: epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 */
/* seccomp: manager: timerfd_create timerfd_settime signalfd4 pidfd_open waitid kill */
static int loop_open(struct manager *m)
{
	static const int signals[] = { SIGTERM, SIGINT };
	sigset_t set;
	int r = sd_event_new(&m->f.event);

	if (r < 0)
		return r;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		r = sd_event_add_signal(m->f.event, NULL, signals[i], on_signal, m);
		if (r < 0)
			return r;
	}
	r = works_new(&m->f.works, m->f.event, on_work_done, m);
	if (!r)
		r = async_close_new(&m->f.async_close, m->f.works, m->f.users);
	if (!r)
		r = asuser_begin(m->f.asuser, m->f.event);
	if (r < 0)
		return r;
	r = sd_event_add_io(m->f.event, NULL, m->watch_fd, EPOLLIN, on_link, &m->f);
	return r < 0 ? r : 0;
}

/*
 * Stale pins: those of a fabric whose namespace is gone with all its interfaces, or nobody can get
 * into any more.
 */
static int wipe_if_dead(struct manager *m, struct errtext *e)
{
	struct fdstore *fs = NULL;
	char dir[256];
	__u32 inode = 0;

	link_netns_inode(&inode);
	if (!m->f.bpf->adopted || !m->f.bpf->abi.netns || m->f.bpf->abi.netns == inode)
		return 0;
	if (!bpf_links_dead(m->f.bpf->dir) && link_netns_reachable(m->f.bpf->abi.netns))
		return 0;
	/* sockets of the namespace, which the fdstore has, keep its interfaces alive */
	if (!fdstore_new(&fs, m->lock.run_fd, m->opts.run_dir, m->f.bpf->abi.group))
		fdstore_end(fs);
	fdstore_free(fs);
	util_copy(dir, sizeof(dir), m->f.bpf->dir);
	log_notice("%s: removed what a fabric left whose network namespace is gone", dir);
	bpf_state_unpin(m->f.bpf);
	bpf_state_free(m->f.bpf);
	m->f.bpf = NULL;
	return bpf_state_new(&m->f.bpf, m->opts.bpffs, e);
}

/* The kernel's half of the fabric, found or made. */
static int kernel_open(struct manager *m, const struct config *config, struct errtext *e)
{
	int r = bpf_state_new(&m->f.bpf, m->opts.bpffs, e);

	if (!r)
		r = wipe_if_dead(m, e);
	if (!r)
		r = same_netns(m, e);
	if (!r)
		r = choose_hook(m, config ? config->hook : CONFIG_HOOK_AUTO, e);
	if (r)
		return r;
	users_set_bpf(m->f.users, m->f.bpf);
	r = link_open(m);
	if (!r)
		r = bpf_abi_store(m->f.bpf);
	if (!r) {
		/* before anything is looked at, so that no change falls between */
		m->watch_fd = link_watch_open();
		r = m->watch_fd < 0 ? m->watch_fd : 0;
	}
	return r ? err_text(e, r, "cannot set up the fabric: %s", strerror(-r)) : 0;
}

/* Everything up to the point where requests can be answered. */
static int start(struct manager *m, const struct config *config, struct errtext *e)
{
	int r = lock_run_dir(&m->lock, m->opts.run_dir, e);

	if (!r)
		r = netns_enter(m->opts.netns, e);
	if (!r)
		r = lock_bpffs(&m->lock, m->opts.bpffs, e);
	if (!r)
		r = kernel_open(m, config, e);
	if (!r)
		r = fdstore_new(&m->f.fdstore, m->lock.run_fd, m->opts.run_dir,
				m->f.bpf->abi.group);
	if (!r)
		r = listeners_begin(&m->f);
	if (!r)
		r = adopt(&m->f, e);
	if (!r)
		r = loop_open(m);
	if (!r)
		r = adopt_with_loop(&m->f, e);
	return r;
}

/* --- end --- */

/* Pins, locks and directories that this fabric made. Only for who holds the locks. */
static void remove_files(struct manager *m)
{
	char dir[256];

	util_close_fd(&m->f.spare_fd); /* if there are no others, one is enough here */
	m->f.spare_fd = -1;
	snprintf(dir, sizeof(dir), "%s/%s", m->opts.bpffs, IPN_CTL_BPFFS_SUBDIR);
	bpf_unpin_dir(dir, NULL, NULL);
	*strrchr(dir, '/') = '\0';
	rmdir(dir);
	if (m->lock.made_bpffs_dir)
		rmdir(m->opts.bpffs);
	lock_remove_run_files(&m->lock, m->opts.run_dir);
}

/* `down`: all that the fabric made goes, and nothing else. */
static void remove_all(struct manager *m)
{
	struct fabric *f = &m->f;

	if (f->policies)
		policy_load_cancel_all(f->policies); /* or it would go on pinning */
	while (f->nets) {                            /* with one of them others may go */
		net_path_remove(f, &f->nets->info);
		net_del(f->nets);
	}
	asuser_settle(f->asuser, ASUSER_WAIT_MS);
	if (f->fdstore)
		fdstore_end(f->fdstore);
	for (int i = 0; i < 2; i++) /* once more what could not be removed */
		interfaces_orphans_end(f);
	if (f->link && f->bpf && f->bpf->abi.segmenter && link_del(f->link, f->bpf->abi.segmenter))
		link_del(f->link, f->bpf->abi.segmenter); /* the same */
	remove_files(m);
}

static void manager_close(struct manager *m)
{
	struct fabric *f = &m->f;

	fabric_close(f);
	control_free(m->control);
	fabric_free(f);
	util_close_fd(&m->watch_fd);
	lock_close(&m->lock);
	free(m);
}

static struct manager *manager_new(const struct manager_opts *opts)
{
	struct rlimit memory = { RLIM_INFINITY, RLIM_INFINITY }, files;
	struct manager *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->opts = *opts;
	lock_init(&m->lock);
	m->watch_fd = -1;
	m->f.kinds = port_kinds;
	m->f.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (users_new(&m->f.users, id_log_release, &m->f) || asuser_new(&m->f.asuser)) {
		util_close_fd(&m->f.spare_fd);
		free(m);
		return NULL;
	}
	setrlimit(RLIMIT_MEMLOCK, &memory);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return m;
}

/* --- running --- */

/* seccomp: manager: socket sendmsg setsockopt dup2 dup3 getsockopt fcntl */
/* Tells the parent; from here on nobody reads our stderr. */
static int ready(struct manager *m, int *ready_fd)
{
	int null;

	sd_notifyf(0, "READY=1\nSTATUS=%s %u networks, %u ports\nMAINPID=%d",
		   m->f.bpf->adopted ? "took over" : "made", HASH_COUNT(m->f.nets),
		   HASH_COUNT(m->f.nodes), getpid());
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

/* From here on requests are answered. */
static int control_open(struct manager *m)
{
	const struct control_opts opts = {
		.run_dir = m->opts.run_dir,
		.netns = m->opts.netns,
		.down = on_down,
		.arg = m,
	};
	int r = control_new(&m->control, &m->f, &opts);

	return r ? r : control_listen(m->control);
}

static int serve(const struct manager_opts *opts, int ready_fd)
{
	struct manager *m = manager_new(opts);
	struct config *config = NULL;
	struct errtext e = { "" };
	bool pins_before = bpf_pins_exist(opts->bpffs);
	int r;

	if (!m)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	r = powers_reduce(POWERS_MANAGER, &e);
	if (!r && opts->config)
		r = config_read(opts->config, &config, &e);
	if (!r)
		r = start(m, config, &e);
	if (!r)
		r = lock_write(&m->lock);
	if (!r && config)
		r = config_apply(&m->f, config, opts->config, &e);
	if (!r)
		r = control_open(m);
	if (!r)
		listeners_store(&m->f);
	if (!r)
		r = ready(m, &ready_fd);
	if (!r)
		r = sd_event_loop(m->f.event) < 0 ? -EIO : 0;
	else
		fprintf(stderr, "up: %s\n", e.text[0] ? e.text : strerror(-r));
	/*
	 * a fabric that failed to come up leaves nothing; one that was there before stays as it was
	 */
	if (m->down || (r && m->lock.locked && !pins_before))
		remove_all(m);
	else if (r && m->lock.run_locked && !m->lock.locked)
		lock_remove_run_files(&m->lock, m->opts.run_dir);
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
static int remove_foreign(struct manager *m, struct errtext *e)
{
	struct link_ctx *link;
	char dir[256];
	int r = netns_enter(m->opts.netns, e);

	if (r)
		return r;
	r = link_ctx_new(&link, 0);
	if (r)
		return err_text(e, r, "netlink: %s", strerror(-r));
	snprintf(dir, sizeof(dir), "%s/%s", m->opts.bpffs, IPN_CTL_BPFFS_SUBDIR);
	r = bpf_unpin_dir(dir, remove_by_link, link);
	link_ctx_free(link);
	/* what it holds is of that version, too: remove_all ends it */
	if (!r && !m->f.fdstore)
		r = fdstore_new(&m->f.fdstore, m->lock.run_fd, m->opts.run_dir, 0);
	return r ? err_text(e, r, "%s: cannot remove all of it", dir) : 0;
}

int manager_down_offline(const struct manager_opts *opts)
{
	struct manager *m = manager_new(opts);
	struct errtext e = { "" };
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
	r = powers_reduce(POWERS_MANAGER, &e);
	if (!r)
		r = start(m, NULL, &e);
	if (r == -EPROTO)
		r = remove_foreign(m, &e);
	if (!r)
		remove_all(m);
	if (r)
		fprintf(stderr, "down: %s\n", e.text);
	manager_close(m);
	return r ? 1 : 0;
}
