// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kind of program a file is. It is a hint for the user and nothing depends on it: the file may
 * be another one by the time it runs.
 */
#include "cli/program.h"

#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "common/util.h"

#define SCRIPTS_MAX 5 /* as the kernel follows */
#define LINE_MAX_READ 256
#define PATH_DEFAULT "/bin:/usr/bin" /* execvp's */
#define DYNAMIC_MAX 256

/* The header of this very program: the library is for the same machine and C library. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *own_loader(void)
{
	const char *start = (const char *)&__ehdr_start;
	const ElfW(Phdr) *p = (const void *)(start + __ehdr_start.e_phoff);

	for (int i = 0; i < __ehdr_start.e_phnum; i++)
		if (p[i].p_type == PT_INTERP)
			return base_of(start + p[i].p_offset);
	return "";
}

static bool read_at(int fd, void *to, size_t len, ElfW(Off) at)
{
	return at <= LONG_MAX && pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

/* Without a loader: a program, or the loader itself, which takes what is preloaded into others. */
static bool is_pie(int fd, const ElfW(Phdr) * dynamic)
{
	ElfW(Dyn) d;

	for (ElfW(Off) i = 0; i < DYNAMIC_MAX && (i + 1) * sizeof(d) <= dynamic->p_filesz; i++) {
		if (!read_at(fd, &d, sizeof(d), dynamic->p_offset + i * sizeof(d)) ||
		    d.d_tag == DT_NULL)
			return false;
		if (d.d_tag == DT_FLAGS_1)
			return d.d_un.d_val & DF_1_PIE;
	}
	return false;
}

static const char *elf_refuses(int fd, const ElfW(Ehdr) * e)
{
	ElfW(Phdr) p, dynamic = { 0 };
	char loader[PATH_MAX];

	if (e->e_ident[EI_CLASS] != __ehdr_start.e_ident[EI_CLASS])
		return e->e_ident[EI_CLASS] == ELFCLASS32 ? "is a 32-bit program"
							  : "is for another machine";
	if (e->e_ident[EI_DATA] != __ehdr_start.e_ident[EI_DATA] ||
	    e->e_machine != __ehdr_start.e_machine)
		return "is for another machine";
	for (ElfW(Off) i = 0; i < e->e_phnum; i++) {
		if (!read_at(fd, &p, sizeof(p), e->e_phoff + i * e->e_phentsize))
			return NULL;
		if (p.p_type == PT_DYNAMIC)
			dynamic = p;
		if (p.p_type != PT_INTERP)
			continue;
		if (!p.p_filesz || p.p_filesz > sizeof(loader) ||
		    !read_at(fd, loader, p.p_filesz, p.p_offset))
			return NULL;
		loader[p.p_filesz - 1] = '\0';
		return strcmp(base_of(loader), own_loader()) ? "uses another C library" : NULL;
	}
	if (e->e_type == ET_EXEC || (e->e_type == ET_DYN && is_pie(fd, &dynamic)))
		return "is statically linked";
	return NULL;
}

/* Does it run with more rights than its caller? Then its loader trusts nothing of the caller's. */
static const char *rights_refuse(const char *path, const struct stat *st)
{
	struct statvfs fs;
	char caps[64];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || statvfs(path, &fs) ||
	    fs.f_flag & ST_NOSUID)
		return NULL;
	if (st->st_mode & S_ISUID && st->st_uid != getuid())
		return "is set-user-ID";
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid())
		return "is set-group-ID";
	if (getuid() && getxattr(path, "security.capability", caps, sizeof(caps)) > 0)
		return "has file capabilities";
	return NULL;
}

/* The interpreter that the first line of a script names. */
static bool interpreter(const char line[LINE_MAX_READ], char path[PATH_MAX])
{
	const char *from = line + 2 + strspn(line + 2, " \t");
	size_t len = strcspn(from, " \t\r\n");

	if (line[0] != '#' || line[1] != '!' || !len)
		return false;
	memcpy(path, from, len);
	path[len] = '\0';
	return true;
}

static bool is_file(const char *path, struct stat *st)
{
	return !stat(path, st) && S_ISREG(st->st_mode) && !access(path, X_OK);
}

static bool find(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH") ?: PATH_DEFAULT;
	struct stat st;

	if (strchr(name, '/'))
		return !util_copy(path, PATH_MAX, name);
	for (;; dirs++) {
		int len = (int)strcspn(dirs, ":");
		int n = snprintf(path, PATH_MAX, "%.*s%s%s", len, dirs, len ? "/" : "", name);

		if (n < PATH_MAX && is_file(path, &st))
			return true;
		dirs += len;
		if (!*dirs)
			return false;
	}
}

const char *program_refuses_preload(const char *name)
{
	char path[PATH_MAX];

	if (!find(name, path))
		return NULL;
	for (int i = 0; i < SCRIPTS_MAX; i++) {
		_cleanup_close_ int fd = -1;
		union {
			ElfW(Ehdr) elf;
			char line[LINE_MAX_READ];
		} head = { 0 };
		const char *why;
		struct stat st;

		if (!is_file(path, &st))
			return NULL;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0 && pread(fd, head.line, sizeof(head.line) - 1, 0) < 0)
			return NULL;
		if (interpreter(head.line, path)) /* its own rights count, not the script's */
			continue;
		why = rights_refuse(path, &st);
		if (why || memcmp(head.elf.e_ident, ELFMAG, SELFMAG) != 0)
			return why;
		return elf_refuses(fd, &head.elf);
	}
	return NULL;
}
