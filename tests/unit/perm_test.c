/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rights of peers on inodes, against what a process with really changed ids is told by access(2);
 * and what can be known of a peer. Needs root and a /tmp with ACLs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/util.h"
#include "manager/access/perm.h"

#define CAP_BIT(cap) (1ULL << (cap))
#define NET_ADMIN CAP_BIT(CAP_NET_ADMIN)
#define DAC_CAPS (CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH))

static char dir[] = "/tmp/perm_test.XXXXXX";

/* --- helpers ------------------------------------------------------------------------------- */

/* Sets permitted and effective of this thread to what they have in `keep`, and `raise` ambient. */
static int caps_limit(unsigned long long keep, int raise)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &hdr, caps) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		caps[i].permitted &= (__u32)(keep >> (32 * i));
		caps[i].effective = caps[i].permitted;
		caps[i].inheritable = raise >= 0 ? caps[i].permitted : 0;
	}
	if (syscall(SYS_capset, &hdr, caps) < 0)
		return -1;
	return raise < 0 ? 0 : prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, raise, 0, 0);
}

static int become(uid_t uid, gid_t gid, const gid_t *groups, int ngroups)
{
	if (setgroups((size_t)ngroups, groups) || setresgid(gid, gid, gid) ||
	    setresuid(uid, uid, uid))
		return -1;
	return 0;
}

static int child_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void socket_inode(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	unlink(path);
	assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
	assert_int_equal(chown(path, uid, gid), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* --- rights -------------------------------------------------------------------------------- */

static const struct {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const char *acl; /* arguments of setfacl -m */
} inodes[] = {
	{ 0666, 0, 0, NULL },
	{ 0777, 0, 0, NULL },
	{ 0600, 0, 0, NULL },
	{ 0640, 1001, 2001, NULL },
	{ 0710, 1001, 2001, NULL },
	{ 0070, 1001, 2001, NULL },
	{ 0007, 1001, 2001, NULL },
	{ 0000, 1001, 0, NULL },
	{ 0606, 1002, 2001, NULL },
	{ 0600, 0, 0, "u:1002:rw,g:2005:x" },
	{ 0770, 1001, 2001, "u:1002:rwx,m::r" },
	{ 0700, 0, 0, "g:2001:r,g:2005:w,m::rwx" },
	{ 0755, 0, 0, "u:1003:-" },
};

static const struct peer_row {
	const char *name;
	uid_t uid;
	gid_t gid;
	gid_t groups[3];
	int ngroups;
	bool dac_override;
} peers[] = {
	{ "root without capabilities", 0, 0, { 0 }, 1, false },
	{ "owner", 1001, 1001, { 1001 }, 1, false },
	{ "1002", 1002, 1002, { 1002 }, 1, false },
	{ "primary group", 1003, 2001, { 0 }, 0, false },
	{ "supplementary group", 1003, 1003, { 1003, 2001 }, 2, false },
	{ "group of the ACL", 1004, 1004, { 2005 }, 1, false },
	{ "both groups", 1004, 1004, { 7, 2001, 2005 }, 3, false },
	{ "nobody", 65534, 65534, { 0 }, 0, false },
};

static int truth(const char *path, const struct peer_row *row)
{
	pid_t pid = fork();
	int mask = 0;

	assert_true(pid >= 0);
	if (pid)
		return child_status(pid);
	if (become(row->uid, row->gid, row->groups, row->ngroups) || caps_limit(~DAC_CAPS, -1))
		_exit(99);
	mask |= access(path, R_OK) ? 0 : PERM_R;
	mask |= access(path, W_OK) ? 0 : PERM_W;
	mask |= access(path, X_OK) ? 0 : PERM_X;
	_exit(mask);
}

static struct perm_peer peer_of(const struct peer_row *row, gid_t *groups)
{
	memcpy(groups, row->groups, sizeof(row->groups));
	return (struct perm_peer){
		.uid = row->uid,
		.gid = row->gid,
		.groups = groups,
		.ngroups = row->ngroups,
		.caps = row->dac_override ? 1ULL << CAP_DAC_OVERRIDE : 0,
	};
}

static void rights_are_those_of_a_process_with_these_ids(void **state)
{
	int seen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(inodes); i++) {
		char path[64];
		char command[160];
		int fd;

		snprintf(path, sizeof(path), "%s/%zu", dir, i);
		socket_inode(path, inodes[i].mode, inodes[i].uid, inodes[i].gid);
		if (inodes[i].acl) {
			snprintf(command, sizeof(command), "setfacl -m %s %s", inodes[i].acl, path);
			assert_int_equal(system(command), 0);
		}
		fd = open(path, O_PATH | O_CLOEXEC);
		assert_true(fd >= 0);
		for (size_t j = 0; j < ARRAY_SIZE(peers); j++) {
			gid_t groups[3];
			struct perm_peer peer = peer_of(&peers[j], groups);
			int expected = truth(path, &peers[j]);
			int got = perm_check(fd, &peer);

			if (got != expected)
				print_error("inode %zu (%o %s), %s: %d instead of %d\n", i,
					    inodes[i].mode, inodes[i].acl ? inodes[i].acl : "",
					    peers[j].name, got, expected);
			assert_int_equal(got, expected);
			seen |= 1 << got;
		}
		close(fd);
		unlink(path);
	}
	/* The table asks for none, r, w, x, rw, rx and rwx at least. */
	assert_int_equal(seen & 0xf7, 0xf7);
}

static void root_has_every_right(void **state)
{
	struct perm_peer root = { .uid = 0, .caps = 1ULL << CAP_DAC_OVERRIDE };
	/* access(2) drops the capabilities of other users: here they count for nothing either. */
	struct perm_peer other = { .uid = 1002, .gid = 1002, .caps = 1ULL << CAP_DAC_OVERRIDE };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/s", dir);
	socket_inode(path, 0, 1001, 1001);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(perm_check(fd, &root), PERM_R | PERM_W | PERM_X);
	assert_int_equal(perm_check(fd, &other), 0);
	close(fd);
	unlink(path);
}

/* What /proc says of the identity of this thread. */
static void identity(char *text, size_t size)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	char line[4096];

	assert_non_null(f);
	text[0] = '\0';
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Gid:", 4) ||
		    !strncmp(line, "Groups:", 7) || !strncmp(line, "Cap", 3))
			strncat(text, line, size - strlen(text) - 1);
	fclose(f);
	assert_non_null(strstr(text, "CapEff:"));
}

static void thread_is_itself_again(void **state)
{
	static const gid_t own_groups[] = { 11, 22, 33 };
	gid_t groups[] = { 5 };
	struct perm_peer peer = { .uid = 65534, .gid = 65534, .groups = groups, .ngroups = 1 };
	struct perm_peer impossible = peer;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct caps[2];
		char before[8192];
		char after[8192];
		int fd = open(dir, O_PATH | O_CLOEXEC);

		/*
		 * Not the usual identity: own groups, and a file-system capability that is there
		 * but not in effect (the way back to uid 0 would put it into effect).
		 */
		if (setgroups(3, own_groups) || setfsgid(44) < 0 ||
		    caps_limit(~CAP_BIT(CAP_MKNOD), -1))
			_exit(2);
		if (syscall(SYS_capget, &hdr, caps))
			_exit(2);
		caps[0].effective &= ~(1U << CAP_CHOWN);
		if (syscall(SYS_capset, &hdr, caps))
			_exit(2);
		identity(before, sizeof(before));
		if (perm_check(fd, &peer) != (PERM_R | PERM_X))
			_exit(3);
		identity(after, sizeof(after));
		if (strcmp(before, after))
			_exit(4);
		/* The kernel refuses so many groups. */
		impossible.ngroups = 65537;
		if (perm_check(fd, &impossible) != -EINVAL)
			_exit(5);
		/* And an id that is none. */
		impossible = peer;
		impossible.uid = (uid_t)-1;
		if (perm_check(fd, &impossible) >= 0)
			_exit(6);
		if (perm_check(-1, &peer) != -EBADF)
			_exit(7);
		identity(after, sizeof(after));
		_exit(strcmp(before, after) ? 8 : 0);
	}
	assert_int_equal(child_status(pid), 0);
}

static void capabilities_do_not_leak_into_the_answer(void **state)
{
	struct perm_peer nobody = { .uid = 65534, .gid = 65534 };
	struct perm_peer root = { .uid = 0, .gid = 0 };
	char path[64];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/s", dir);
	socket_inode(path, 0600, 1001, 1001);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(perm_check(fd, &nobody), 0);
	assert_int_equal(perm_check(fd, &root), 0);

	/* The kernel does not take them away by itself under this bit. */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP))
			_exit(9);
		_exit(perm_check(fd, &nobody));
	}
	assert_int_equal(child_status(pid), 0);

	/* Nor for a manager that is not root, but has what it takes. */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (prctl(PR_SET_KEEPCAPS, 1) || become(1234, 1234, NULL, 0) ||
		    caps_limit(~0ULL, -1))
			_exit(9);
		_exit(perm_check(fd, &nobody));
	}
	assert_int_equal(child_status(pid), 0);
	close(fd);
	unlink(path);
}

struct bystander {
	atomic_bool ready;
	atomic_bool stop;
	atomic_int changes;
};

static void *bystander_run(void *arg)
{
	struct bystander *b = arg;
	gid_t groups[64];
	int n = (int)syscall(SYS_getgroups, 64, groups);

	atomic_store(&b->ready, true);
	while (!atomic_load(&b->stop)) {
		gid_t now[64];
		int m = (int)syscall(SYS_getgroups, 64, now);

		if (m != n || memcmp(now, groups, sizeof(gid_t) * (size_t)n) || setfsuid(-1) != 0)
			atomic_fetch_add(&b->changes, 1);
	}
	return NULL;
}

static void other_threads_keep_their_identity(void **state)
{
	gid_t groups[] = { 5, 6, 7 };
	struct perm_peer peer = { .uid = 65534, .gid = 65534, .groups = groups, .ngroups = 3 };
	static struct bystander b;
	int fd = open(dir, O_PATH | O_CLOEXEC);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, bystander_run, &b), 0);
	while (!atomic_load(&b.ready))
		sched_yield();
	for (int i = 0; i < 2000; i++)
		assert_int_equal(perm_check(fd, &peer), PERM_R | PERM_X);
	atomic_store(&b.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&b.changes), 0);
	close(fd);
}

/* --- peers --------------------------------------------------------------------------------- */

/* A process that connects as someone, and stays until it is released. */
struct client {
	pid_t pid;
	int sock;       /* our end of the connection */
	int release[2]; /* closing [1] ends it */
};

struct client_row {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	int ngroups;
	unsigned long long caps; /* kept */
	bool keep;               /* keep capabilities over the change of uid */
	bool ambient;            /* make CAP_NET_ADMIN ambient */
	bool own_userns;
	bool hand_over;  /* a child of it holds the connection, itself is gone */
	bool leave_root; /* changes its uid after it connected */
	bool run_setuid; /* the same, and itself runs a set-uid program */
};

static char setuid_program[64];

static void client_run(const struct client_row *row, const struct sockaddr_un *addr, int release)
{
	int sock;
	char c;

	if (row->keep && prctl(PR_SET_KEEPCAPS, 1))
		_exit(2);
	if (row->uid != 0 || row->groups)
		if (become(row->uid, row->gid, row->groups, row->ngroups))
			_exit(3);
	if ((row->uid == 0 || row->keep) &&
	    caps_limit(row->caps, row->ambient ? CAP_NET_ADMIN : -1))
		_exit(4);
	if (row->own_userns) {
		int fd;

		if (unshare(CLONE_NEWUSER))
			_exit(5);
		fd = open("/proc/self/uid_map", O_WRONLY);
		if (fd < 0 || write(fd, "0 0 1\n", 6) != 6)
			_exit(6);
		close(fd);
	}
	sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (sock < 0 || connect(sock, (const struct sockaddr *)addr, sizeof(*addr)))
		_exit(7);
	if (row->leave_root && (prctl(PR_SET_KEEPCAPS, 1) || become(1001, 1001, NULL, 0) ||
				caps_limit(row->caps, CAP_NET_ADMIN)))
		_exit(10);
	if ((row->hand_over || row->run_setuid) && fork() != 0) {
		if (row->hand_over)
			_exit(0);
		close(sock);
		execl(setuid_program, setuid_program, "60", NULL);
		_exit(8);
	}
	if (send(sock, "x", 1, 0) != 1)
		_exit(9);
	(void)!read(release, &c, 1);
	_exit(0);
}

static struct client client_new(const struct client_row *row)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct client c;
	int lsock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char x;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control", dir);
	unlink(addr.sun_path);
	assert_int_equal(bind(lsock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(chmod(addr.sun_path, 0666), 0);
	assert_int_equal(listen(lsock, 1), 0);
	assert_int_equal(pipe2(c.release, O_CLOEXEC), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (!c.pid) {
		close(c.release[1]);
		alarm(30);
		client_run(row, &addr, c.release[0]);
	}
	c.sock = accept4(lsock, NULL, NULL, SOCK_CLOEXEC);
	assert_true(c.sock >= 0);
	assert_int_equal(recv(c.sock, &x, 1, 0), 1);
	if (row->hand_over)
		assert_int_equal(child_status(c.pid), 0);
	if (row->run_setuid) {
		char path[64];
		struct stat st;
		struct stat program;

		/* Wait until it is that program. */
		assert_int_equal(stat(setuid_program, &program), 0);
		snprintf(path, sizeof(path), "/proc/%d/exe", c.pid);
		for (int i = 0; i < 1000; i++) {
			if (!stat(path, &st) && st.st_ino == program.st_ino)
				break;
			usleep(10000);
		}
		assert_int_equal(st.st_ino, program.st_ino);
	}
	close(lsock);
	unlink(addr.sun_path);
	return c;
}

static void client_end(struct client *c, const struct client_row *row)
{
	close(c->release[1]);
	close(c->release[0]);
	close(c->sock);
	if (row->run_setuid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	} else if (!row->hand_over) {
		assert_int_equal(child_status(c->pid), 0);
	}
}

static gid_t many_groups[200];

static const struct {
	const char *name;
	struct client_row row;
	bool net_admin;
	bool dac_override;
} clients[] = {
	{ "root", { .caps = ~0ULL }, true, true },
	{ "root with net_admin only", { .caps = NET_ADMIN }, true, false },
	{ "root without net_admin", { .caps = ~NET_ADMIN }, false, true },
	{ "root with many groups",
	  { .caps = ~0ULL, .groups = many_groups, .ngroups = 200 },
	  true,
	  true },
	{ "root of a user namespace", { .caps = ~0ULL, .own_userns = true }, false, false },
	{ "root that left", { .caps = ~0ULL, .hand_over = true }, false, false },
	{ "root that became another user", { .caps = ~0ULL, .leave_root = true }, false, false },
	{ "nobody", { .uid = 65534, .gid = 65534 }, false, false },
	{ "user with groups",
	  { .uid = 1001, .gid = 1002, .groups = (const gid_t[]){ 1002, 2001 }, .ngroups = 2 },
	  false,
	  false },
	{ "user with an ambient capability",
	  { .ambient = true, .uid = 1001, .gid = 1001, .caps = NET_ADMIN, .keep = true },
	  true,
	  false },
	{ "user with a capability that it could have from a file",
	  { .uid = 1001, .gid = 1001, .caps = NET_ADMIN, .keep = true },
	  false,
	  false },
	{ "user that runs a set-uid program",
	  { .uid = 1001, .gid = 1001, .run_setuid = true },
	  false,
	  false },
};

static int peers_check(void)
{
	int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		const struct client_row *row = &clients[i].row;
		struct client c = client_new(row);
		struct perm_peer peer;
		int r = perm_peer_get(c.sock, &peer);

		assert_int_equal(r, 0);
		if (peer.pid != c.pid || peer.uid != row->uid || peer.gid != row->gid ||
		    (bool)perm_cap(&peer, CAP_NET_ADMIN) != clients[i].net_admin ||
		    (bool)perm_cap(&peer, CAP_DAC_OVERRIDE) != clients[i].dac_override) {
			print_error("%s: uid %u gid %u net_admin %d dac_override %d\n",
				    clients[i].name, peer.uid, peer.gid,
				    (bool)perm_cap(&peer, CAP_NET_ADMIN),
				    (bool)perm_cap(&peer, CAP_DAC_OVERRIDE));
			failed++;
		}
		if (row->groups) {
			assert_int_equal(peer.ngroups, row->ngroups);
			assert_memory_equal(peer.groups, row->groups,
					    sizeof(gid_t) * (size_t)row->ngroups);
		}
		perm_peer_free(&peer);
		assert_null(peer.groups);
		client_end(&c, row);
	}
	return failed;
}

static void peers_are_who_they_are(void **state)
{
	assert_int_equal(peers_check(), 0);
}

/* As on kernels before 6.5. */
static void peers_are_who_they_are_without_peerpidfd(void **state)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
			_exit(99);
		_exit(peers_check());
	}
	assert_int_equal(child_status(pid), 0);
}

static void no_peer_is_an_error(void **state)
{
	struct perm_peer peer = { .pid = 7 };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(perm_peer_get(sock, &peer), -ENOTCONN);
	assert_int_equal(perm_peer_get(null, &peer), -ENOTSOCK);
	assert_int_equal(perm_peer_get(-1, &peer), -EBADF);
	assert_int_equal(peer.pid, 7);
	close(sock);
	close(null);
}

/* --- inodes -------------------------------------------------------------------------------- */

static void inode_is_what_stat_says(void **state)
{
	struct perm_inode inode;
	struct perm_inode again;
	struct stat st;
	char path[64];
	char other[80];
	int fd;

	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(other, sizeof(other), "%s.2", path);
	socket_inode(path, 0751, 1001, 2001);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(perm_inode_get(fd, &inode), 0);
	assert_int_equal(inode.dev, st.st_dev);
	assert_int_equal(inode.ino, st.st_ino);
	assert_int_equal(inode.mode, S_IFSOCK | 0751);
	assert_int_equal(inode.uid, 1001);
	assert_int_equal(inode.nlink, 1);
	assert_true(inode.btime == 0 || inode.btime / 1000000000 <= (__u64)time(NULL));

	/* Still the same one under another name, and without any. */
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(perm_inode_get(fd, &again), 0);
	assert_int_equal(again.ino, inode.ino);
	assert_int_equal(again.btime, inode.btime);
	assert_int_equal(again.nlink, 0);
	close(fd);
	assert_int_equal(perm_inode_get(-1, &inode), -EBADF);
}

static int setup(void **state)
{
	char command[160];
	struct statvfs vfs;

	if (!mkdtemp(dir) || chmod(dir, 0755) || statvfs(dir, &vfs))
		return -1;
	if (vfs.f_flag & ST_NOSUID) {
		print_error("/tmp is mounted nosuid\n");
		return -1;
	}
	snprintf(setuid_program, sizeof(setuid_program), "%s/sleep", dir);
	snprintf(command, sizeof(command), "cp /bin/sleep %s && chmod 4755 %s", setuid_program,
		 setuid_program);
	for (size_t i = 0; i < ARRAY_SIZE(many_groups); i++)
		many_groups[i] = 3000 + (gid_t)i;
	return system(command);
}

static int teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rights_are_those_of_a_process_with_these_ids),
		cmocka_unit_test(root_has_every_right),
		cmocka_unit_test(thread_is_itself_again),
		cmocka_unit_test(capabilities_do_not_leak_into_the_answer),
		cmocka_unit_test(other_threads_keep_their_identity),
		cmocka_unit_test(peers_are_who_they_are),
		cmocka_unit_test(peers_are_who_they_are_without_peerpidfd),
		cmocka_unit_test(no_peer_is_an_error),
		cmocka_unit_test(inode_is_what_stat_says),
	};

	umask(022);
	return cmocka_run_group_tests(tests, setup, teardown);
}
