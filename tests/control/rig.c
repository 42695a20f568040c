// SPDX-License-Identifier: GPL-2.0-or-later
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdalign.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/names.h"
#include "manager/access/asuser_proto.h"
#include "manager/access/async_close.h"
#include "manager/access/quota.h"
#include "manager/access/work.h"
#include "manager/adopt.h"
#include "manager/core/ids.h"
#include "manager/core/interfaces.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/kinds.h"
#include "manager/ports/listener.h"

#define GROUP 0x49123456
#define WAIT_US 10000000

/* The manager starts the program anew to act as a user: that is this one here. */
static void __attribute__((constructor)) as_user(int argc, char *argv[])
{
	if (argc > 0 && !strcmp(argv[0], ASUSER_NAME))
		exit(asuser_child_run());
}

static unsigned int entries(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

unsigned int rig_fds(void)
{
	unsigned int of_stub = stub_fds(); /* first: it closes some */

	/* one of them reads the directory */
	return entries("/proc/self/fd") - 1 - of_stub;
}

/* --- the directory --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static char memory[48]; /* where all directories are: a tmpfs that only this process sees */

static void memory_end(void)
{
	umount2(memory, MNT_DETACH);
	rmdir(memory);
}

/* A file system on a disk looks long for a number that was not used lately, for each new file. */
static void memory_begin(void)
{
	const char *tmp = getenv("IPN_TEST_TMP") ?: "/tmp";

	if (memory[0])
		return;
	snprintf(memory, sizeof(memory), "%s/ctl.XXXXXX", tmp);
	assert_non_null(mkdtemp(memory));
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("none", memory, "tmpfs", 0, "mode=0755"), 0);
	atexit(memory_end);
}

void rig_new(struct rig *r)
{
	char path[128];

	memory_begin();
	*r = (struct rig){ .run_fd = -1, .watch_fd = -1, .spare = -1 };
	snprintf(r->dir, sizeof(r->dir), "%s/XXXXXX", memory);
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(chmod(r->dir, 0777), 0); /* users have listeners there */
	snprintf(path, sizeof(path), "%s/ipn-fabric", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	r->run_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->run_fd >= 0);
	stub_begin();
}

void rig_free(struct rig *r)
{
	stub_fail(NULL, 0, 0);
	if (r->up) {
		while (r->f.nets)
			net_del(r->f.nets);
		asuser_settle(r->f.asuser, ASUSER_WAIT_MS);
		if (r->f.fdstore)
			fdstore_end(r->f.fdstore);
		rig_stop(r);
	}
	util_close_fd(&r->run_fd);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	stub_end();
}

const char *rig_path(const struct rig *r, const char *name)
{
	static char paths[8][128];
	static unsigned int at;
	char *path = paths[at++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", r->dir, name);
	return path;
}

int rig_inode(const struct rig *r, const char *name, mode_t mode)
{
	const char *path = rig_path(r, name);
	mode_t mask = umask(0);
	int fd;

	if (mknod(path, S_IFSOCK | mode, 0))
		assert_int_equal(errno, EEXIST);
	umask(mask);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

struct net *rig_net(struct rig *r, const char *name, const struct ipn_net_info *info)
{
	_cleanup_close_ int fd = rig_inode(r, name, 0777);
	struct ipn_net_info want = *info;
	struct perm_inode inode;
	struct net *net;
	int rc;

	util_copy(want.path, sizeof(want.path), rig_path(r, name));
	assert_int_equal(perm_inode_get(fd, &inode), 0);
	r->e.text[0] = '\0';
	rc = net_add(&r->f, &want, fd, &inode, &net, &r->e);
	return rc ? NULL : net;
}

/* --- the manager, as manager.c starts and ends it --- */

static int on_link(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct fabric *f = arg;

	(void)source;
	(void)events;
	if (link_watch_read(fd, interface_event, f) == -ENOBUFS)
		interfaces_check(f);
	return 0;
}

static void on_work_done(void *arg)
{
	struct rig *r = arg;

	if (r->control)
		control_go_on(r->control);
}

static void on_down(void *arg)
{
	struct rig *r = arg;

	r->down = true;
}

static int kernel_open(struct rig *r)
{
	struct fabric *f = &r->f;
	int rc = bpf_state_new(&f->bpf, r->dir, &r->e);

	if (rc)
		return rc;
	users_set_bpf(f->users, f->bpf);
	f->bpf->abi.netns = 1;
	f->bpf->abi.group = GROUP;
	f->bpf->abi.hook = r->clsact ? IPN_HOOK_CLSACT : IPN_HOOK_TCX;
	rc = link_ctx_new(&f->link, GROUP);
	if (!rc)
		rc = bpf_abi_store(f->bpf);
	if (rc)
		return rc;
	r->watch_fd = link_watch_open();
	return 0;
}

static int loop_open(struct rig *r)
{
	struct fabric *f = &r->f;
	int rc = sd_event_new(&f->event);

	if (rc >= 0)
		rc = works_new(&f->works, f->event, on_work_done, r);
	if (rc >= 0)
		rc = async_close_new(&f->async_close, f->works, f->users);
	if (rc >= 0)
		rc = asuser_begin(f->asuser, f->event);
	if (rc >= 0)
		rc = sd_event_add_io(f->event, NULL, r->watch_fd, EPOLLIN, on_link, f);
	return rc < 0 ? rc : 0;
}

static int control_start(struct rig *r)
{
	const struct control_opts opts = { .run_dir = r->dir, .down = on_down, .arg = r };
	int rc = control_new(&r->control, &r->f, &opts);

	return rc ? rc : control_listen(r->control);
}

int rig_start(struct rig *r)
{
	struct fabric *f = &r->f;
	int rc;

	assert_false(r->up);
	r->e.text[0] = '\0';
	r->up = true;
	r->tasks = entries("/proc/self/task");
	*f = (struct fabric){ .kinds = port_kinds,
			      .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC) };
	rc = users_new(&f->users, id_log_release, f);
	if (!rc)
		rc = asuser_new(&f->asuser);
	if (!rc)
		rc = kernel_open(r);
	if (!rc)
		rc = fdstore_new(&f->fdstore, r->run_fd, r->dir, GROUP);
	if (!rc)
		rc = listeners_begin(f);
	if (!rc)
		rc = adopt(f, &r->e);
	if (!rc)
		rc = loop_open(r);
	if (!rc)
		rc = adopt_with_loop(f, &r->e);
	if (!rc)
		rc = control_start(r);
	if (!rc && !r->no_fdstore)
		listeners_store(f);
	if (rc)
		rig_stop(r);
	return rc;
}

void rig_threads(struct rig *r)
{
	r->tasks = entries("/proc/self/task") - stub_helpers();
}

bool rig_busy(const struct rig *r)
{
	return entries("/proc/self/task") > r->tasks + stub_helpers();
}

/* Threads that close descriptors end by themselves. */
static void wait_for_threads(const struct rig *r)
{
	__u64 end = clock_us() + WAIT_US;

	while (rig_busy(r) && clock_us() < end)
		usleep(200);
}

void rig_stop(struct rig *r)
{
	struct fabric *f = &r->f;

	fabric_close(f);
	/* what goes with the process */
	stub_socks_exit();
	for (struct session *s = r->control ? r->control->sessions : NULL; s; s = s->next)
		close(s->fd);
	wait_for_threads(r);
	control_free(r->control);
	r->control = NULL;
	fabric_free(f);
	stub_helpers_end();
	util_close_fd(&r->watch_fd);
	r->watch_fd = -1;
	memset(f, 0, sizeof(*f));
	r->up = false;
}

void rig_run(struct rig *r)
{
	stub_reap();
	do {
		while (sd_event_run(r->f.event, 0) > 0)
			stub_reap();
		asuser_settle(r->f.asuser, ASUSER_WAIT_MS);
	} while (sd_event_run(r->f.event, 0) > 0);
	stub_reap();
}

void rig_run_until(struct rig *r, bool (*done)(void *arg), void *arg)
{
	__u64 end = clock_us() + WAIT_US;

	rig_run(r);
	while (!done(arg)) {
		assert_true(clock_us() < end);
		sd_event_run(r->f.event, 1000);
		stub_reap();
	}
	rig_run(r);
}

void rig_settle(struct rig *r)
{
	rig_run(r);
	wait_for_threads(r);
	rig_run(r);
}

/* --- sessions --- */

int ctl_open(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", r->dir, IPN_CTL_SOCKET);
	assert_true(s >= 0);
	assert_int_equal(connect(s, (void *)&addr, sizeof(addr)), 0);
	rig_run(r);
	return s;
}

int ctl_send(int s, const void *data, size_t len, const int *fds, unsigned int nfds)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 253)] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	return sendmsg(s, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int ctl_recv(int s, struct reply *reply)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * IPN_CTL_MAX_FDS)];
	struct iovec iov[2] = { { &reply->hdr, sizeof(reply->hdr) },
				{ reply->body, sizeof(reply->body) } };
	struct msghdr msg = { .msg_iov = iov,
			      .msg_iovlen = 2,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n = recvmsg(s, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	reply->nfds = 0;
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	assert_true(n >= (ssize_t)sizeof(reply->hdr));
	assert_int_equal(n, reply->hdr.len);
	assert_false(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	reply->len = (size_t)n - sizeof(reply->hdr);
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		reply->nfds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(reply->fds, CMSG_DATA(c), sizeof(int) * reply->nfds);
	}
	return 0;
}

void reply_close(struct reply *reply)
{
	for (unsigned int i = 0; i < reply->nfds; i++)
		close(reply->fds[i]);
	reply->nfds = 0;
}

int ctl_call(struct rig *r, int s, __u16 type, const void *body, size_t len, const int *fds,
	     unsigned int nfds, struct reply *reply)
{
	static __u32 id;
	alignas(8) __u8 packet[IPN_CTL_MAX_PACKET];
	struct ipn_ctl_hdr hdr = { .magic = IPN_CTL_MAGIC,
				   .version = IPN_CTL_VERSION,
				   .type = type,
				   .len = (__u32)(sizeof(hdr) + len) };
	int rc;

	hdr.id = ++id;
	memcpy(packet, &hdr, sizeof(hdr));
	if (len)
		memcpy(packet + sizeof(hdr), body, len);
	rc = ctl_send(s, packet, hdr.len, fds, nfds);
	if (rc)
		return rc;
	rig_run(r);
	rc = ctl_recv(s, reply);
	if (rc == -EAGAIN) { /* too many descriptors of this user are being closed */
		rig_settle(r);
		rc = ctl_recv(s, reply);
	}
	if (rc)
		return rc;
	assert_int_equal(reply->hdr.magic, IPN_CTL_MAGIC);
	assert_int_equal(reply->hdr.version, IPN_CTL_VERSION);
	assert_int_equal(reply->hdr.id, hdr.id);
	assert_int_equal(reply->hdr.type, type);
	return -reply->hdr.status;
}

void ctl_close(struct rig *r, int s)
{
	close(s);
	rig_run(r);
}
