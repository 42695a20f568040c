// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net add, net del, net show.
 *
 * The path of a network is the user's: this program makes the socket inode, with the user's rights
 * and umask, and removes it. The manager gets a descriptor of it and judges that. `net add` takes
 * back what it made if the manager refuses, or lets it wait and a signal ends it.
 */
#include <ipn/af_ipn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "cli/rows.h"
#include "common/clock.h"
#include "common/util.h"

#define MODE_DEFAULT 0777
#define PARENT_MODE 0755

static bool same_inode(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A place for a new network: its absolute path, and the directory made for it, if one was. */
struct place {
	char path[IPN_PATH_MAX];
	char made_dir[PATH_MAX];
};

/*
 * The directory part of the path as it is called without links, made if only its last component is
 * missing. Returns 0, or -errno.
 */
static int place_parent(struct place *place, const char *dir, char parent[PATH_MAX])
{
	if (realpath(dir, parent))
		return 0;
	if (errno != ENOENT)
		return -errno;
	if (mkdir(dir, PARENT_MODE) < 0 && errno != EEXIST)
		return -errno;
	if (!realpath(dir, parent))
		return -errno;
	return util_copy(place->made_dir, sizeof(place->made_dir), parent);
}

/* Prints what is wrong. Returns 0, or -errno. */
static int place_find(const struct cli_args *args, struct place *place)
{
	const char *path = args->value[CLI_PATH].text;
	char dir_buf[PATH_MAX], base_buf[PATH_MAX], parent[PATH_MAX];
	const char *dir, *base;
	int r, n;

	place->path[0] = place->made_dir[0] = '\0';
	r = util_copy(dir_buf, sizeof(dir_buf), path);
	if (r == 0)
		r = util_copy(base_buf, sizeof(base_buf), path);
	if (r < 0)
		return cli_fail_errno(args, path, r), r;
	dir = dirname(dir_buf);
	base = basename(base_buf);
	if (path[strlen(path) - 1] == '/' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
		cli_fail(args, path, "is the name of a directory (add a name for the network)");
		return -EISDIR;
	}
	r = place_parent(place, dir, parent);
	if (r < 0) {
		cli_fail(args, path, "directory %s: %s (make the directory first: mkdir -p %s)",
			 dir, strerror(-r), dir);
		return r;
	}
	n = snprintf(place->path, sizeof(place->path), "%s/%s", strcmp(parent, "/") ? parent : "",
		     base);
	if (n < 0 || (size_t)n >= sizeof(place->path)) {
		if (place->made_dir[0])
			rmdir(place->made_dir);
		return cli_fail_errno(args, path, ENAMETOOLONG), -ENAMETOOLONG;
	}
	return 0;
}

/* The path exists. Says what it is. */
static int fail_exists(const struct cli_args *args, int manager, const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct ipn_ctl_list list = { 0 };
	struct client_call call = {
		.type = IPN_CTL_NET_LIST,
		.request = &list,
		.request_len = sizeof(list),
		.fds = &fd,
		.nfds = 1,
	};
	int r;

	if (fd < 0 || !is_socket(fd))
		return cli_fail(args, path,
				"exists and is not an IPN network (remove the file, or "
				"choose another path)");
	r = client_call(manager, &call);
	if (r == -ECONNREFUSED)
		return cli_fail(args, path,
				"is the socket of another program, or of a network that "
				"is gone (if nothing uses it: rm %s)",
				path);
	if (r == -ENETDOWN)
		return cli_fail_errno(args, path, r);
	return cli_fail(args, path, "is a network already (see: " CLI_PROGRAM " net show %s)",
			path);
}

static void request_fill(const struct cli_args *args, const char *path, struct ipn_ctl_net_add *add)
{
	const struct cli_value *value = args->value;

	*add = (struct ipn_ctl_net_add){
		.policy = cli_given(args, CLI_POLICY) ? (__u32)value[CLI_POLICY].number
						      : IPN_POLICY_BROADCAST,
		.mtu = (__u32)value[CLI_MTU].number,
		.numnodes = (__u32)value[CLI_NODES].number,
		.pool = (__u32)value[CLI_POOL].number,
		.routes = (__u32)value[CLI_ROUTES].number,
		.flags = cli_given(args, CLI_LOSSLESS) ? IPN_FLAG_LOSSLESS : 0,
		.mode = cli_given(args, CLI_MODE) ? (__u32)value[CLI_MODE].number : MODE_DEFAULT,
		.persistent = 1,
	};
	util_copy(add->path, sizeof(add->path), path);
}

/* Makes the inode and the network. Leaves neither on failure. */
static int net_make(const struct cli_args *args, int manager, const char *path,
		    const struct client_wait *wait)
{
	_cleanup_close_ int fd = -1;
	struct ipn_ctl_net_add add;
	struct ipn_ctl_net net;
	struct client_call call = {
		.type = IPN_CTL_NET_ADD,
		.request = &add,
		.request_len = sizeof(add),
		.fds = &fd,
		.nfds = 1,
		.wait = wait,
		.reply = &net,
		.reply_size = sizeof(net),
	};

	request_fill(args, path, &add);
	if (add.policy == IPN_POLICY_ANY &&
	    policy_number(args, manager, args->value[CLI_POLICY].text, &add.policy) < 0)
		return CLI_FAILED;
	if (mknod(path, S_IFSOCK | add.mode, 0) < 0)
		return errno == EEXIST ? fail_exists(args, manager, path)
				       : cli_fail(args, path, "cannot make the socket: %s",
						  strerror(errno));
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT) {
		int err = errno;

		unlink(path);
		return cli_fail_errno(args, path, err);
	}
	if (fd < 0 || !is_socket(fd))
		return cli_fail(args, path,
				"was replaced by another program meanwhile (try again)");
	if (fabric_call(args, manager, &call, path) == 0)
		return CLI_OK;
	if (same_inode(fd, path))
		unlink(path);
	return CLI_FAILED;
}

static volatile sig_atomic_t ended_by;

static void on_end(int number)
{
	ended_by = number;
}

static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

/* Signals that end it come while it waits for the manager, and are obeyed when all is in order. */
static void ends_hold(sigset_t *before)
{
	struct sigaction action = { .sa_handler = on_end }, old;
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		sigaddset(&held, ends[i]);
		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &held, before);
}

static void ends_obey(const sigset_t *before)
{
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct sigaction old;

		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == on_end)
			signal(ends[i], SIG_DFL);
	}
	if (ended_by)
		raise(ended_by);
	sigprocmask(SIG_SETMASK, before, NULL);
}

int cmd_net_add(const struct cli_args *args)
{
	_cleanup_close_ int manager = fabric_open(args);
	struct client_wait wait = { .until = CLOCK_NEVER, .interrupt = true };
	sigset_t before;
	struct place place;
	int status;

	if (manager < 0)
		return CLI_FAILED;
	ends_hold(&before);
	wait.mask = &before;

	status = CLI_FAILED;
	if (place_find(args, &place) == 0) {
		status = net_make(args, manager, place.path, &wait);
		if (status != CLI_OK && place.made_dir[0])
			rmdir(place.made_dir);
	}
	ends_obey(&before);
	return status;
}

/* May the path be removed? Asked before the network is: a path that stays behind is of no use. */
static int parent_check(const char *path)
{
	char buf[PATH_MAX];

	util_copy(buf, sizeof(buf), path);
	return faccessat(AT_FDCWD, dirname(buf), W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int del_by_id(const struct cli_args *args, int manager, __u32 id, const char *value)
{
	struct ipn_ctl_net_del_id del = { .id = id };
	struct client_call call = {
		.type = IPN_CTL_NET_DEL_ID,
		.request = &del,
		.request_len = sizeof(del),
	};

	return fabric_call(args, manager, &call, value) < 0 ? CLI_FAILED : CLI_OK;
}

/* The path is not there. A network may have had it: then that is what is meant, if it is one. */
static int del_gone(const struct cli_args *args, int manager, const char *given)
{
	const struct fabric_list list = { .type = IPN_CTL_NET_LIST,
					  .path_fd = -1,
					  .row_size = sizeof(struct ipn_ctl_net) };
	char dir[PATH_MAX], base[PATH_MAX], parent[PATH_MAX], label[PATH_MAX + 32];
	const struct ipn_ctl_net *found = NULL;
	_cleanup_free_ void *rows = NULL;
	size_t n = 0, matches = 0;

	util_copy(dir, sizeof(dir), given);
	util_copy(base, sizeof(base), given);
	if (!realpath(dirname(dir), parent))
		return cli_fail_errno(args, given, errno);
	snprintf(label, sizeof(label), "%s/%s (deleted)", strcmp(parent, "/") ? parent : "",
		 basename(base));
	if (fabric_list(args, manager, &list, &rows, &n) < 0)
		return CLI_FAILED;
	for (size_t i = 0; i < n; i++) {
		const struct ipn_ctl_net *net = (const struct ipn_ctl_net *)rows + i;

		if (strncmp(net->path, label, sizeof(net->path)) == 0) {
			found = net;
			matches++;
		}
	}
	if (matches > 1)
		return cli_fail(args, given,
				"%zu networks had this path (choose one of them: " CLI_PROGRAM
				" net show --json, net del --id N)",
				matches);
	return found ? del_by_id(args, manager, found->id, given)
		     : cli_fail_errno(args, given, ENOENT);
}

int cmd_net_del(const struct cli_args *args)
{
	const char *given = args->value[CLI_PATH].text;
	_cleanup_close_ int manager = -1;
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	struct client_call call = { .type = IPN_CTL_NET_DEL, .fds = &fd, .nfds = 1 };

	manager = fabric_open(args);
	if (manager < 0)
		return CLI_FAILED;
	if (cli_given(args, CLI_ID))
		return del_by_id(args, manager, (__u32)args->value[CLI_ID].number, NULL);
	if (access(given, F_OK) && errno == ENOENT)
		return del_gone(args, manager, given);
	if (fabric_open_path(args, &fd) < 0)
		return CLI_FAILED;
	if (!realpath(given, path))
		return cli_fail(args, given, "%s", strerror(errno));
	if (parent_check(path) < 0)
		return cli_fail(args, given,
				"no permission to remove the path (be who may write the "
				"directory it is in)");
	if (fabric_call(args, manager, &call, given) < 0)
		return CLI_FAILED;
	if (same_inode(fd, path) && unlink(path) < 0 && errno != ENOENT)
		return cli_fail(args, given, "the network is gone, but not its path: %s (rm %s)",
				strerror(errno), path);
	return CLI_OK;
}

int cmd_net_show(const struct cli_args *args)
{
	_cleanup_free_ void *nets = NULL;
	_cleanup_close_ int manager = fabric_open(args);
	size_t n;

	if (manager < 0 || rows_networks(args, manager, &nets, &n) < 0)
		return CLI_FAILED;
	return rows_print(args, display_rows(stdout, &display_networks, nets, n,
					     cli_given(args, CLI_JSON)));
}
