// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lines, sorted. A number that says nothing (of an interface in the name of a pin, of an inode) is
 * written as "#".
 */
#include "state.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <ipn/abi.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH 4096
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static char **lines;
static size_t nlines, room;

static void __attribute__((format(printf, 1, 2))) line(const char *format, ...)
{
	va_list args;

	if (nlines == room) {
		room = room ? 2 * room : 256;
		lines = realloc(lines, room * sizeof(*lines));
		if (!lines)
			err(1, "memory");
	}
	va_start(args, format);
	if (vasprintf(&lines[nlines++], format, args) < 0)
		err(1, "memory");
	va_end(args);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *lines_take(void)
{
	size_t size = 1;
	char *text, *at;

	qsort(lines, nlines, sizeof(*lines), compare);
	for (size_t i = 0; i < nlines; i++)
		size += strlen(lines[i]) + 1;
	text = at = malloc(size);
	if (!text)
		err(1, "memory");
	for (size_t i = 0; i < nlines; i++) {
		at = stpcpy(stpcpy(at, lines[i]), "\n");
		free(lines[i]);
	}
	*at = '\0';
	nlines = 0;
	return text;
}

/* --- interfaces --------------------------------------------------------------------------------*/

static void links_here(const char *ns)
{
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		/* "ipnv12" is the fabric's name for a near end */
		bool ours = !strncmp(i->if_name, "ipn", 3);

		line("link %s %.*s%s", ns, (int)(ours ? 4 : IF_NAMESIZE), i->if_name,
		     ours ? "#" : "");
	}
	if_freenameindex(all);
}

static void links_there(int dir, const char *name, int home)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && !setns(fd, CLONE_NEWNET)) {
		links_here(name);
		if (setns(home, CLONE_NEWNET))
			err(1, "setns");
	}
	close(fd);
}

static void links(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	DIR *dir = opendir("/run/netns");
	struct dirent *entry;

	links_here("-");
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			links_there(dirfd(dir), entry->d_name, home);
	if (dir)
		closedir(dir);
	close(home);
}

/* --- files -------------------------------------------------------------------------------------*/

static size_t skip; /* of the path: what is above the directory */

/* "/link/12-tcx" is "/link/#-tcx". */
static int file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	const char *pin = strstr(path, "/link/");

	(void)type;
	if (!where->level || strstr(path, ".debug"))
		return 0;
	if (pin)
		line("file %.*s#%s", (int)(pin + 6 - path - (ptrdiff_t)skip), path + skip,
		     pin + 6 + strspn(pin + 6, "0123456789"));
	else
		line("file %o %u %s", st->st_mode, st->st_uid, path + skip);
	return 0;
}

static void files(const char *dir)
{
	const char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!slash)
		return;
	skip = (size_t)(slash - dir);
	nftw(dir, file, 16, FTW_PHYS);
}

/* --- rows of maps ------------------------------------------------------------------------------*/

/* What traffic writes, and what is no table. */
static const char *const not_compared[] = {
	"stats",     "msgs",       "drafts",   "flows",    "fdb",       "learns",     "punt",
	"punt_acct", "calls",      "rings",    "l3_work",  "l3_neigh",  "l3_held",    "abi",
	"l3_limit",  "bells",      "rooms",    "pages",    "xsk_cache", "port_cache", "logs_small",
	"logs_eth",  "logs_jumbo", "net_fast", "l3_ports",
};

static bool is_compared(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_compared); i++)
		if (!strcmp(not_compared[i], name))
			return false;
	return true;
}

/* A row of an array is there if it says something. */
static bool row_stands(const char *name, const uint8_t *value, size_t size)
{
	if (!strcmp(name, "port_out"))
		return ((const struct ipn_port_out *)(const void *)value)->kind != 0;
	for (size_t i = 0; i < size; i++)
		if (value[i])
			return true;
	return false;
}

static unsigned int rows_by_key(int fd, const struct bpf_map_info *info)
{
	uint8_t key[512], next[512], value[65536];
	unsigned int n = 0;
	void *last = NULL;
	bool hash = info->type == BPF_MAP_TYPE_HASH || info->type == BPF_MAP_TYPE_LRU_HASH;

	while (!bpf_map_get_next_key(fd, last, next)) {
		n += hash || !bpf_map_lookup_elem(fd, next, value);
		last = memcpy(key, next, info->key_size);
	}
	return n;
}

static unsigned int rows_of_array(int fd, const char *name, const struct bpf_map_info *info)
{
	static uint8_t values[BATCH * 256];
	static uint32_t keys[BATCH];
	uint32_t at, n, rows = 0;
	void *last = NULL;
	int r = 0;

	if (info->value_size > 256)
		errx(1, "%s: values of %u bytes", name, info->value_size);
	while (!r) {
		n = BATCH;
		r = bpf_map_lookup_batch(fd, last, &at, keys, values, &n, NULL);
		for (uint32_t i = 0; i < n; i++)
			rows += row_stands(name, values + (size_t)i * info->value_size,
					   info->value_size);
		last = &at;
	}
	return rows;
}

static void map_rows(const char *dir, const char *name)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len)) {
		close(fd);
		return;
	}
	line("map %s %u", name,
	     info.type == BPF_MAP_TYPE_ARRAY ? rows_of_array(fd, name, &info)
					     : rows_by_key(fd, &info));
	close(fd);
}

static void maps(void)
{
	char path[256];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/ipn-fabric/v1", getenv("IPN_FABRIC_BPFFS"));
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && is_compared(entry->d_name))
			map_rows(path, entry->d_name);
	if (dir)
		closedir(dir);
}

/* --- processes ---------------------------------------------------------------------------------*/

static unsigned int descriptors(const char *pid)
{
	char path[300];
	unsigned int n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* Not those that act as users: they stay for a while and are used again. */
static void process(const char *pid)
{
	char path[300], text[512], *name, *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	name = strchr(text, '(');
	end = strrchr(text, ')');
	if (!name || !end || strncmp(name, "(ipn-", 5) || !strncmp(name, "(ipn-asuser", 11))
		return;
	*end = '\0';
	line("process %s%s, descriptors: %u", name + 1, end[2] == 'Z' ? " (zombie)" : "",
	     strcmp(name, "(ipn-fdstore") ? 0 : descriptors(pid));
}

static void processes(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			process(entry->d_name);
	if (dir)
		closedir(dir);
}

char *state_get(void)
{
	links();
	files(getenv("IPN_FABRIC_RUN_DIR"));
	files(getenv("IPN_FABRIC_BPFFS"));
	files(getenv("NETS"));
	maps();
	processes();
	return lines_take();
}

static void descriptor(int dir, const char *name)
{
	char target[256], *at;
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return;
	target[n] = '\0';
	at = strchr(target, '[');
	if (at && strncmp(at, "[timerfd", 8) == 0) /* made when it is first needed */
		return;
	if (at && isdigit((unsigned char)at[1]))
		snprintf(at, sizeof(target) - (size_t)(at - target), "[#]");
	line("%s", target);
}

char *state_fds(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			descriptor(dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
	return lines_take();
}

bool state_has_all(const char *all, const char *some)
{
	while (*some) {
		size_t n = strcspn(some, "\n"), len = strcspn(all, "\n");

		if (!*all)
			return false;
		if (n == len && !strncmp(all, some, n))
			some += n + 1;
		all += len + 1;
	}
	return true;
}

static void print_line(char sign, const char **at)
{
	int n = (int)strcspn(*at, "\n");

	printf("      %c %.*s\n", sign, n, *at);
	*at += n + 1;
}

void state_diff(const char *a, const char *b)
{
	while (*a || *b) {
		int na = (int)strcspn(a, "\n"), nb = (int)strcspn(b, "\n");
		int order = !*a ? 1 : !*b ? -1 : 0;

		if (!order) {
			order = strncmp(a, b, (size_t)(na < nb ? na : nb));
			order = order ? order : na - nb;
		}
		if (order < 0) {
			print_line('-', &a);
		} else if (order > 0) {
			print_line('+', &b);
		} else {
			a += na + 1;
			b += nb + 1;
		}
	}
}
