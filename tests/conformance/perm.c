// SPDX-License-Identifier: GPL-2.0-or-later
/* r receives, w sends, x manages: of the inode, for the process that calls. */
#include "conf.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A network of root, connected, with this mode. */
static int network(const char *path, int mode)
{
	int fd = new_socket(IPN_BROADCAST);

	set_int(fd, IPN_SO_MODE, mode);
	OK(try_bind(fd, path));
	OK(X(connect)(fd, NULL, 0));
	return fd;
}

static void try_read_write(const char *path, bool r, bool w)
{
	int fd = member(path);
	char c;

	if (r)
		gets_nothing(fd);
	else
		ERR(try_recv(fd, &c, 1), EPIPE);
	if (w)
		OK(try_send(fd, "x"));
	else
		ERR(try_send(fd, "x"), EPIPE);
	OK(X(close)(fd));
}

#define AS(uid)                                  \
	for (int pid = child_as(uid);; _exit(0)) \
		if (pid) {                       \
			join_child(pid);         \
			break;                   \
		} else

static void mode_bits(void)
{
	network("rw", 0776);
	network("r", 0774);
	network("w", 0772);
	network("none", 0771);
	AS(NOBODY)
	{
		try_read_write("rw", true, true);
		try_read_write("r", true, false);
		try_read_write("w", false, true);
		ERR(try_connect(new_socket(IPN_ANY), "none"), EACCES);
	}
}

static void read_only_is_deaf_to(void)
{
	int ear = network("r", 0774);

	AS(NOBODY)
	{
		int fd = member("r");

		ERR(try_send(fd, "secret"), EPIPE);
		ERR(X(shutdown)(fd, 99), EINVAL);
		ERR(try_send(fd, "secret"), EPIPE);
	}
	gets_nothing(ear);
}

static void with_shutdown(void)
{
	network("r", 0774);
	network("w", 0772);
	network("rw", 0776);
	AS(NOBODY)
	{
		int fd = new_socket(IPN_ANY);

		OK(X(shutdown)(fd, SHUT_RD));
		ERR(try_connect(fd, "r"), EACCES);
		OK(try_connect(fd, "w"));
		fd = new_socket(IPN_ANY);
		OK(X(shutdown)(fd, SHUT_WR));
		ERR(try_connect(fd, "w"), EACCES);
		OK(try_connect(fd, "rw"));
		ERR(try_send(fd, "x"), EPIPE);
		gets_nothing(fd);
	}
}

static void manage(void)
{
	network("x", 0771);
	network("rw", 0776);
	network("all", 0777);
	AS(NOBODY)
	{
		int fd = new_socket(IPN_ANY);

		ERR(try_bind(fd, "rw"), EPERM);
		OK(try_bind(fd, "x"));
		ERR(X(connect)(fd, NULL, 0), EACCES); /* bound is not connected */
		fd = bound_to("all", IPN_ANY);
		OK(X(connect)(fd, NULL, 0));
		OK(try_send(fd, "x"));
	}
}

static void owner_class(void)
{
	network(NET, 0077);
	OK(chown(NET, NOBODY, NOBODY));
	AS(NOBODY) /* the owner's bits count for the owner, not the wider ones of others */
	{
		ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
		ERR(try_bind(new_socket(IPN_ANY), NET), EPERM);
	}
	AS(OTHER)
	{
		try_read_write(NET, true, true);
	}
}

static void group_class(void)
{
	const unsigned int groups[] = { 776, 777, 778 }, others[] = { 776 };
	int pid;

	network(NET, 0760);
	OK(chown(NET, 0, 777));
	for (int in = 0; in < 2; in++) {
		pid = child();
		if (!pid) {
			if (in)
				become(NOBODY, NOBODY, groups, 3);
			else
				become(NOBODY, NOBODY, others, 1);
			if (in)
				try_read_write(NET, true, true);
			else
				ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
			_exit(0);
		}
		join_child(pid);
	}
}

static void effective_ids(void)
{
	int pid;

	network(NET, 0770);
	pid = child();
	if (!pid) {
		OK(setgroups(0, NULL));
		OK(setresgid((gid_t)-1, NOBODY, (gid_t)-1));
		OK(setresuid((uid_t)-1, NOBODY, (uid_t)-1)); /* the real one is root's */
		ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
		_exit(0);
	}
	join_child(pid);
}

/* Who opens a socket as root and then becomes somebody else is somebody else. */
static void judged_at_the_call(void)
{
	int pid;

	network(NET, 0770);
	pid = child();
	if (!pid) {
		int to_connect = new_socket(IPN_ANY), to_bind = new_socket(IPN_ANY);
		int to_make = new_socket(IPN_BROADCAST);
		struct stat st;

		become(NOBODY, NOBODY, NULL, 0);
		ERR(try_connect(to_connect, NET), EACCES);
		ERR(try_bind(to_bind, NET), EPERM);
		OK(try_bind(to_make, "own"));
		OK(stat("own", &st));
		EQ(st.st_uid, NOBODY);
		_exit(0);
	}
	join_child(pid);
}

static void acl(void)
{
	network(NET, 0770);
	if (command("setfacl -m u:%u:r %s", OTHER, NET))
		FAIL("setfacl: no access control lists here (install acl; choose a directory of "
		     "another file system)");
	AS(OTHER)
	{
		try_read_write(NET, true, false);
	}
	EQ(command("setfacl -m u:%u:rw %s", OTHER, NET), 0);
	AS(OTHER)
	{
		try_read_write(NET, true, true);
		ERR(try_bind(new_socket(IPN_ANY), NET), EPERM);
	}
	AS(NOBODY)
	{
		ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
	}
	EQ(command("setfacl -m u:%u:- -m o::rw %s", OTHER, NET), 0);
	AS(OTHER)
	{
		ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
	}
	AS(NOBODY)
	{
		try_read_write(NET, true, true);
	}
}

static void changes(void)
{
	int fd = network(NET, 0777);
	struct gate in = gate_new(), changed = gate_new();
	int pid = child_as(NOBODY);

	if (!pid) {
		int early = member(NET);

		gate_open(&in);
		gate_wait(&changed);
		OK(try_send(early, "still in")); /* who is in stays */
		ERR(try_connect(new_socket(IPN_ANY), NET), EACCES);
		_exit(0);
	}
	gate_wait(&in);
	OK(chmod(NET, 0770));
	gate_open(&changed);
	join_child(pid);
	gets_text(fd, "still in");
}

static void directories(void)
{
	OK(mkdir("closed", 0700));
	network("closed/net", 0777);
	AS(NOBODY)
	{
		int fd = new_socket(IPN_ANY);

		ERR(try_connect(fd, "closed/net"), EACCES);
		ERR(try_bind(fd, "closed/net"), EACCES);
	}
}

static void one_inode(void)
{
	const char *const paths[] = { "hard", "sym", "./sub/../net", "sub/up/net" };
	int fd = network(NET, 0777);

	OK(link(NET, "hard"));
	OK(symlink(NET, "sym"));
	OK(mkdir("sub", 0777));
	OK(symlink("..", "sub/up"));
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int other = member(paths[i]);

		send_text(other, paths[i]);
		gets_text(fd, paths[i]);
		OK(X(close)(other));
	}
	OK(rename(NET, "renamed"));
	send_text(member("renamed"), "renamed");
	gets_text(fd, "renamed");
	ERR(try_connect(new_socket(IPN_ANY), NET), ENOENT);
}

static void another_inode(void)
{
	int fd = network(NET, 0777);

	EQ(command("cp -a %s copy", NET), 0);
	ERR(try_connect(new_socket(IPN_ANY), "copy"), ECONNREFUSED);
	OK(unlink(NET));
	OK(mknod(NET, S_IFSOCK | 0777, 0)); /* the same path is not the same network */
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
	OK(try_send(fd, "those who are in stay"));
}

static void private_mounts(void)
{
	OK(unshare(CLONE_NEWNS));
	OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* A network in a file system that only its members see. */
static void mount_own(void)
{
	struct gate made = gate_new(), tried = gate_new();
	int pid;

	OK(mkdir("mnt", 0777));
	pid = child();
	if (!pid) {
		int a, b;

		private_mounts();
		OK(mount("none", "mnt", "tmpfs", 0, NULL));
		a = founder("mnt/net");
		b = member("mnt/net");
		gate_open(&made);
		gate_wait(&tried);
		send_text(a, "here");
		gets_text(b, "here");
		_exit(0);
	}
	gate_wait(&made);
	ERR(try_connect(new_socket(IPN_ANY), "mnt/net"), ENOENT);
	OK(X(close)(founder("mnt/net"))); /* the same string, another network */
	gate_open(&tried);
	join_child(pid);
}

/* One network, at different paths in different mount namespaces. */
static void mount_elsewhere(void)
{
	struct gate ready = gate_new();
	int fd, pid;

	OK(mkdir("here", 0777));
	OK(mkdir("there", 0777));
	pid = child();
	if (!pid) {
		private_mounts();
		OK(mount("here", "there", NULL, MS_BIND, NULL));
		OK(mount("none", "here", "tmpfs", 0, NULL)); /* and hidden at its own */
		gate_wait(&ready);
		ERR(try_connect(new_socket(IPN_ANY), "here/net"), ENOENT);
		send_text(member("there/net"), "from there");
		_exit(0);
	}
	fd = founder("here/net");
	gate_open(&ready);
	join_child(pid);
	gets_text(fd, "from there");
}

static const struct row rows_perm_table[] = {
	{ "perm.mode_bits", "r receives, w sends, neither: EACCES", mode_bits },
	{ "perm.read_only", "nothing arrives from who may not send", read_only_is_deaf_to },
	{ "perm.with_shutdown", "permissions and shutdown together leave neither: EACCES",
	  with_shutdown },
	{ "perm.manage", "bind to a network takes x: EPERM; x alone does not connect", manage },
	{ "perm.owner", "the owner is judged by the owner's bits", owner_class },
	{ "perm.group", "supplementary groups count", group_class },
	{ "perm.effective", "effective ids count, not the real ones", effective_ids },
	{ "perm.at_the_call", "judged is who binds or connects, not who opened the socket",
	  judged_at_the_call },
	{ "perm.acl", "access control lists count", acl },
	{ "perm.changes", "who is in stays, who comes is judged anew", changes },
	{ "perm.directories", "the way to the path must be open", directories },
	{ "perm.one_inode", "two paths to one inode are one network", one_inode },
	{ "perm.another_inode", "a copy, or a new inode at the path, is not the network",
	  another_inode },
	{ "perm.mount_own", "a path of the caller's own mount namespace", mount_own },
	{ "perm.mount_elsewhere", "one inode mounted elsewhere is one network", mount_elsewhere },
};
ROWS(rows_perm);
