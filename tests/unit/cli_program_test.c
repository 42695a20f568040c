// SPDX-License-Identifier: GPL-2.0-or-later
/* Which programs `run` says cannot load the library. Files are made here: a header is enough. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cli/program.h"
#include "common/util.h"

static char dir[] = "/tmp/ipn-program.XXXXXX";

struct file {
	ElfW(Ehdr) e;
	ElfW(Phdr) p[2];
	ElfW(Dyn) d[2];
	char loader[64];
};

/* This test's own header, and its loader: what can be preloaded into. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static struct file dynamic(void)
{
	struct file f = { .e = __ehdr_start };
	const ElfW(Phdr) *own = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);

	f.e.e_phoff = offsetof(struct file, p);
	f.e.e_phnum = 2;
	for (int i = 0; i < __ehdr_start.e_phnum; i++)
		if (own[i].p_type == PT_INTERP)
			snprintf(f.loader, sizeof(f.loader), "%s",
				 (const char *)&__ehdr_start + own[i].p_offset);
	f.p[0] = (ElfW(Phdr)){ .p_type = PT_DYNAMIC,
			       .p_offset = offsetof(struct file, d),
			       .p_filesz = sizeof(f.d) };
	f.d[0] = (ElfW(Dyn)){ .d_tag = DT_FLAGS_1, .d_un.d_val = DF_1_PIE };
	f.p[1] = (ElfW(Phdr)){ .p_type = PT_INTERP,
			       .p_offset = offsetof(struct file, loader),
			       .p_filesz = strlen(f.loader) + 1 };
	return f;
}

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static int at;

	at = (at + 1) % 4;
	snprintf(paths[at], sizeof(paths[at]), "%s/%s", dir, name);
	return paths[at];
}

static void make(const char *name, const void *data, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static const char *answer(const struct file *f)
{
	make("prog", f, sizeof(*f));
	return program_refuses_preload(path_of("prog"));
}

static void says(const char *wanted, const struct file *f)
{
	const char *got = answer(f);

	assert_non_null(got);
	assert_string_equal(got, wanted);
}

static void dynamic_programs_are_taken(void **state)
{
	struct file f = dynamic();

	(void)state;
	assert_null(answer(&f));
	assert_null(program_refuses_preload("/bin/sh"));
	assert_null(program_refuses_preload("sh"));
}

static void static_ones_are_told(void **state)
{
	struct file f = dynamic();

	(void)state;
	f.e.e_phnum = 1;
	f.e.e_type = ET_EXEC;
	says("is statically linked", &f);
	f.e.e_type = ET_DYN;
	says("is statically linked", &f);
	/* a loader, to which a program is an argument */
	f.d[0].d_un.d_val = 0;
	assert_null(answer(&f));
}

static void those_of_other_machines_and_libraries_are_told(void **state)
{
	struct file f = dynamic();

	(void)state;
	f.e.e_ident[EI_CLASS] = ELFCLASS32;
	says("is a 32-bit program", &f);
	f = dynamic();
	f.e.e_machine ^= 1;
	says("is for another machine", &f);
	f = dynamic();
	f.e.e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB;
	says("is for another machine", &f);
	f = dynamic();
	strcpy(f.loader, "/lib/ld-musl-x86_64.so.1");
	f.p[1].p_filesz = strlen(f.loader) + 1;
	says("uses another C library", &f);
}

static void files_that_lie_are_nothing(void **state)
{
	struct file f = dynamic();

	(void)state;
	f.p[1].p_filesz = ~0UL;
	assert_null(answer(&f));
	f = dynamic();
	f.p[1].p_offset = ~0UL - 1;
	assert_null(answer(&f));
	f = dynamic();
	f.e.e_phoff = ~0UL - 8;
	assert_null(answer(&f));
	f = dynamic();
	f.e.e_phnum = 1;
	f.e.e_type = ET_DYN;
	f.p[0].p_filesz = ~0UL;
	f.d[0] = (ElfW(Dyn)){ .d_tag = 1 };
	assert_null(answer(&f));
	make("prog",
	     "\x7f"
	     "ELF",
	     4);
	(void)program_refuses_preload(path_of("prog"));
	make("prog", "", 0);
	assert_null(program_refuses_preload(path_of("prog")));
}

static void scripts_are_followed(void **state)
{
	struct file f = dynamic();
	char line[200];

	(void)state;
	f.e.e_phnum = 1;
	make("still", &f, sizeof(f));
	snprintf(line, sizeof(line), "#! %s -x\necho\n", path_of("still"));
	make("one", line, strlen(line));
	snprintf(line, sizeof(line), "#!%s", path_of("one"));
	make("two", line, strlen(line));
	assert_string_equal(program_refuses_preload(path_of("one")), "is statically linked");
	assert_string_equal(program_refuses_preload(path_of("two")), "is statically linked");
	snprintf(line, sizeof(line), "#!%s\n", path_of("round"));
	make("round", line, strlen(line));
	assert_null(program_refuses_preload(path_of("round")));
	make("none", "#!\n", 3);
	assert_null(program_refuses_preload(path_of("none")));
	make("plain", "echo\n", 5);
	assert_null(program_refuses_preload(path_of("plain")));
}

static void the_path_is_searched_as_execvp_does(void **state)
{
	const char *old = getenv("PATH");
	struct file f = dynamic();
	char path[200], saved[4096];

	(void)state;
	snprintf(saved, sizeof(saved), "%s", old ? old : "");
	f.e.e_phnum = 1;
	make("tool", &f, sizeof(f));
	snprintf(path, sizeof(path), "/nonexistent::%s", dir);
	setenv("PATH", path, 1);
	assert_string_equal(program_refuses_preload("tool"), "is statically linked");
	assert_null(program_refuses_preload("no-such-tool"));
	assert_int_equal(chmod(path_of("tool"), 0644), 0);
	assert_null(program_refuses_preload("tool"));
	unsetenv("PATH");
	assert_null(program_refuses_preload("sh"));
	setenv("PATH", saved, 1);
}

/* As another user sees it. */
static void more_rights_than_the_caller_are_told(void **state)
{
	struct file f = dynamic();
	static const uint32_t caps[5] = { 0x02000001, 0x1000 }; /* version 2, CAP_NET_ADMIN */

	(void)state;
	assert_null(answer(&f));
	assert_int_equal(chmod(path_of("prog"), 04755), 0);
	assert_null(program_refuses_preload(path_of("prog"))); /* root's, for root */
	assert_int_equal(chown(path_of("prog"), 65534, 65534), 0);
	assert_int_equal(chmod(path_of("prog"), 04755), 0);
	assert_string_equal(program_refuses_preload(path_of("prog")), "is set-user-ID");
	assert_int_equal(chmod(path_of("prog"), 02755), 0);
	assert_string_equal(program_refuses_preload(path_of("prog")), "is set-group-ID");
	assert_int_equal(chmod(path_of("prog"), 02745), 0); /* an old kind of lock, no right */
	assert_null(program_refuses_preload(path_of("prog")));
	assert_int_equal(chmod(path_of("prog"), 0755), 0);
	assert_int_equal(setxattr(path_of("prog"), "security.capability", caps, sizeof(caps), 0),
			 0);
	assert_null(program_refuses_preload(path_of("prog")));
	assert_int_equal(setresuid(65533, 65533, 0), 0);
	assert_string_equal(program_refuses_preload(path_of("prog")), "has file capabilities");
	assert_int_equal(setresuid(0, 0, 0), 0);
}

static void what_is_no_file_does_not_hold_it_up(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path_of("fifo"), 0777), 0);
	assert_null(program_refuses_preload(path_of("fifo")));
	assert_null(program_refuses_preload(dir));
	assert_null(program_refuses_preload(""));
	assert_null(program_refuses_preload("/nonexistent/program"));
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(dir) && !chmod(dir, 0755) ? 0 : -1;
}

static int end(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(dynamic_programs_are_taken),
		cmocka_unit_test(static_ones_are_told),
		cmocka_unit_test(those_of_other_machines_and_libraries_are_told),
		cmocka_unit_test(files_that_lie_are_nothing),
		cmocka_unit_test(scripts_are_followed),
		cmocka_unit_test(the_path_is_searched_as_execvp_does),
		cmocka_unit_test(more_rights_than_the_caller_are_told),
		cmocka_unit_test(what_is_no_file_does_not_hold_it_up),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
