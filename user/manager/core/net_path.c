// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The paths of networks.
 *
 * A network is an inode, held by an O_PATH descriptor. What it is shown by is the kernel's own text
 * for that descriptor (readlink of /proc/self/fd/N), which follows renames, says "(deleted)", and
 * neither walks a path nor waits for a file system. What a client said is not used.
 *
 *	/run/ipn/lan			the mount of the descriptor is one of the manager's own
 *					mount namespace or the host's: the path leads there
 *	/run/ipn/lan (deleted)		the same; the path was removed
 *	mnt:[4026532211]/run/ipn/lan	the mount is of another mount namespace, of this inode
 *					number: what its processes call it
 *	.../far/below/lan		the path is longer than a label
 *
 * Only the first begins with '/', so none of the others can be taken for a path of the host.
 *
 * Over a restart the fdstore holds the descriptors. Where it has not the one (it ended, too, or an
 * older version made the fabric) a process with the identity of the network's owner looks the label
 * up, and what it finds counts only if device, inode and birth time are the network's.
 */
#include "manager/core/net_path.h"

#include <bpf/bpf.h>
#include <limits.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/text.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/fstype.h"
#include "manager/access/perm.h"
#include "manager/core/net.h"
#include "manager/core/objects.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"

/* seccomp: manager: readlink stat statx */

#define FOREIGN "mnt:["
#define FOREIGN_MAX 32
#define DELETED " (deleted)" /* the kernel's word */

/* The kernel's text for a descriptor. */
static int fd_text(int fd, char text[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, text, PATH_MAX);
	if (n < 0 || n == PATH_MAX)
		return n < 0 ? -errno : -ENAMETOOLONG;
	text[n] = '\0';
	return 0;
}

/* What stands in front of a text of another mount namespace. */
static void foreign(pid_t client, const char *old, char out[FOREIGN_MAX])
{
	char path[48];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", client);
	if (client > 0 && !stat(path, &st))
		snprintf(out, FOREIGN_MAX, FOREIGN "%llu]", (unsigned long long)st.st_ino);
	else if (!strncmp(old, FOREIGN, strlen(FOREIGN)) && strchr(old, ']'))
		snprintf(out, FOREIGN_MAX, "%.*s", (int)(strchr(old, ']') - old + 1), old);
	else
		snprintf(out, FOREIGN_MAX, FOREIGN "?]");
}

static void label_make(const char *text, const char *front, char label[IPN_PATH_MAX])
{
	size_t room = IPN_PATH_MAX - 1 - strlen(front), len = strlen(text);
	const char *rest = text;

	if (len > room || text[0] != '/') {
		rest += len > room - 3 ? len - (room - 3) : 0;
		while (*rest && *rest != '/' && rest > text)
			rest++;
		snprintf(label, IPN_PATH_MAX, "%s...%s", front, rest);
	} else {
		snprintf(label, IPN_PATH_MAX, "%s%s", front, text);
	}
	text_clean(label, IPN_PATH_MAX);
}

static void label_of(int fd, const char *text, pid_t client, const char *old,
		     char label[IPN_PATH_MAX])
{
	char front[FOREIGN_MAX] = "";

	if (!fstype_mount_ours(fd))
		foreign(client, old, front);
	label_make(text, front, label);
}

void net_path_label(int fd, pid_t client, const char *old, char label[IPN_PATH_MAX])
{
	char text[PATH_MAX];

	if (fd_text(fd, text))
		util_copy(text, sizeof(text), "?");
	label_of(fd, text, client, old, label);
}

void net_path_refresh(struct net *net)
{
	char text[PATH_MAX], label[IPN_PATH_MAX];

	if (net->path_fd < 0 || fd_text(net->path_fd, text) ||
	    (net->path_text && !strcmp(net->path_text, text)))
		return;
	label_of(net->path_fd, text, 0, net->info.path, label);
	free(net->path_text);
	net->path_text = strdup(text);
	if (!strcmp(label, net->info.path))
		return;
	util_copy(net->info.path, sizeof(net->info.path), label);
	bpf_map_update_elem(net->f->bpf->fd_net_info, &net->id, &net->info, BPF_EXIST);
}

bool net_path_gone(const struct net *net)
{
	struct perm_inode inode;

	return net->path_fd >= 0 && !perm_inode_get(net->path_fd, &inode) && !inode.nlink;
}

/* Not in the map: the next manager may find it. */
void net_path_lost(struct net *net)
{
	char *path = net->info.path;
	size_t len = strlen(path), mark = strlen(DELETED);

	if (path[0] != '/' || (len >= mark && !strcmp(path + len - mark, DELETED)))
		return;
	if (len + mark >= IPN_PATH_MAX) /* its end is cut off, so that the mark is seen */
		len = IPN_PATH_MAX - 1 - mark;
	memcpy(path + len, DELETED, mark + 1);
}

void net_path_check(struct net *net)
{
	if (!net_path_gone(net))
		return;
	net_path_refresh(net);
	net->info.persistent = 0;
	bpf_map_update_elem(net->f->bpf->fd_net_info, &net->id, &net->info, BPF_EXIST);
	net_unused(net);
}

/* --- at start ----------------------------------------------------------------------------------*/

static bool is_inode_of(int fd, const struct ipn_net_info *info)
{
	struct perm_inode inode;

	return !perm_inode_get(fd, &inode) && inode.dev == info->dev && inode.ino == info->ino &&
	       inode.btime == info->btime;
}

struct search {
	struct asuser_call *call; /* NULL: it is done, or was not made */
	int *fd;
};

static void on_found(void *arg, struct asuser_result *result)
{
	struct search *s = arg;

	s->call = NULL;
	if (!result->status)
		*s->fd = util_take_fd(&result->fd);
}

static void look_up(struct fabric *f, const struct ipn_net_info *info, struct search *s)
{
	struct asuser_job job = { .op = ASUSER_LOOKUP,
				  .dev = info->dev,
				  .ino = info->ino,
				  .btime = info->btime,
				  .fd = -1 };
	struct asuser_id *id;

	/* only what was a path of ours leads anywhere */
	if (info->path[0] != '/' || asuser_id_owner(info->uid, info->account, &id))
		return;
	util_copy(job.path, sizeof(job.path), info->path);
	s->call = asuser_start(f->asuser, id, &job, on_found, s);
	asuser_id_unref(id);
}

void net_paths_find(struct fabric *f, const struct ipn_net_info *const infos[IPN_MAX_NETS],
		    int fds[IPN_MAX_NETS])
{
	struct search searches[IPN_MAX_NETS] = { { NULL } };

	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct fdstore_entry *e = infos[id] ? fdstore_find(f->fdstore, FDSTORE_NET(id), 0)
						    : NULL;

		fds[id] = -1;
		if (e && is_inode_of(e->fds[0], infos[id])) {
			fds[id] = util_take_fd(&e->fds[0]);
			e->taken = true;
		} else if (infos[id]) {
			searches[id].fd = &fds[id];
			look_up(f, infos[id], &searches[id]);
		}
	}
	asuser_settle(f->asuser, ASUSER_WAIT_MS);
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		asuser_forget(searches[id].call); /* it took too long */
		if (fds[id] < 0 || is_inode_of(fds[id], infos[id]))
			continue;
		util_close_fd(&fds[id]);
		fds[id] = -1;
	}
}

/* --- at the end --------------------------------------------------------------------------------*/

void net_path_remove(struct fabric *f, const struct ipn_net_info *info)
{
	struct asuser_job job = {
		.op = ASUSER_UNLINK, .dev = info->dev, .ino = info->ino, .fd = -1
	};
	struct asuser_id *id;

	if (!info->persistent || info->path[0] != '/' ||
	    asuser_id_owner(info->uid, info->account, &id))
		return;
	util_copy(job.path, sizeof(job.path), info->path);
	asuser_start(f->asuser, id, &job, NULL, NULL);
	asuser_id_unref(id);
}
