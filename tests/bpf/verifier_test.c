// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the verifier of this kernel thinks of each program that the tree makes.
 *
 *   verifier_test             how many instructions it goes through is near to what verifier.table
 *                             says for this kernel, and far from the limit
 *   verifier_test --counts    one line per program: OBJECT/PROGRAM INSTRUCTIONS
 *   verifier_test --reached   the test, and before it one line per program: OBJECT/PROGRAM and the
 *                             ranges FIRST-LAST of instructions, as they stand in the object, that
 *                             the verifier came to. The kernel takes all others out as dead code.
 *   verifier_test --source    one line per instruction that it came to: OBJECT/PROGRAM INSTRUCTION
 *                             and the line of the source, since Linux 6.10 with its place
 *
 * An argument more limits this to programs whose name, OBJECT/PROGRAM, begins with it. Each program
 * is loaded alone, with the maps that the first object makes, as the manager does it. The objects
 * are found from where this program stands: build/. IPN_VERIFIER_TABLE names another table.
 * scripts/verifier-report writes the table, and compares kernels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LIMIT 1000000u /* instructions that the kernel goes through at most */
#define LIMIT_PERCENT 70
#define GROWTH_PERCENT 5
#define GROWTH_MIN 50 /* small programs may grow by so many */
#define LOG_SIZE (512u << 20)
#define MAX_PROGRAMS 64
#define MAX_INSNS 65536
#define NAME_LEN 80

/* In build/. The first one makes the maps that all share. */
static const char *const files[] = {
	"bpf/hooks",      "bpf/hub",        "bpf/switch",     "bpf/l3",        "bpf/xsk",
	"examples/queue", "examples/stamp", "examples/topic", "tests/elastic", "tests/script",
};

struct program {
	char name[NAME_LEN]; /* OBJECT/PROGRAM */
	unsigned int insns;
};

static struct program programs[MAX_PROGRAMS];
static unsigned int nprograms;
static char build[512]; /* the folder of what was built */
static const char *only = "";
static char *log_buf; /* NULL: no log is wanted */
static void (*log_show)(const char *name);

static int say(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

/* --- loading ------------------------------------------------------------------------------- */

static struct bpf_object *object_open(const char *file)
{
	struct bpf_object *obj;
	char path[640];

	snprintf(path, sizeof(path), "%s/%s.bpf.o", build, file);
	obj = bpf_object__open(path);
	if (!obj)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return obj;
}

/* Loads the program of this name, NULL: none; maps that `from` has are from's. */
static int object_load(struct bpf_object *obj, struct bpf_object *from, const char *name)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	int r;

	bpf_object__for_each_program(prog, obj) {
		bool wanted = name && !strcmp(bpf_program__name(prog), name);

		bpf_program__set_autoload(prog, wanted);
		if (wanted && log_buf) {
			bpf_program__set_log_level(prog, 2);
			bpf_program__set_log_buf(prog, log_buf, LOG_SIZE);
		}
	}
	bpf_object__for_each_map(map, obj) {
		int fd = -1;

		if (from && !bpf_map__is_internal(map))
			fd = bpf_object__find_map_fd_by_name(from, bpf_map__name(map));
		r = fd < 0 ? 0 : bpf_map__reuse_fd(map, fd);
		if (r)
			return r;
	}
	return bpf_object__load(obj);
}

static int program_load(const char *file, struct bpf_object *base, const char *name)
{
	struct program *p = &programs[nprograms];
	const char *object = strrchr(file, '/') + 1;
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);
	struct bpf_object *obj;
	int r;

	snprintf(p->name, sizeof(p->name), "%s/%s", object, name);
	if (strncmp(p->name, only, strlen(only)) != 0)
		return 0;
	obj = object_open(file);
	if (!obj)
		return -ENOENT;
	r = object_load(obj, base, name);
	if (!r &&
	    bpf_obj_get_info_by_fd(bpf_program__fd(bpf_object__find_program_by_name(obj, name)),
				   &info, &len))
		r = -errno;
	if (r)
		fprintf(stderr, "%s: %s\n", p->name, strerror(-r));
	else if (log_show)
		log_show(p->name);
	p->insns = info.verified_insns;
	nprograms++;
	bpf_object__close(obj);
	return r;
}

/* All programs, one after the other. */
static int programs_load(void)
{
	struct bpf_object *shared = NULL;
	int r = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !r; i++) {
		struct bpf_object *base = object_open(files[i]);
		struct bpf_program *prog;

		if (!base)
			return -ENOENT;
		r = object_load(base, shared, NULL);
		if (!shared)
			shared = base;
		if (r)
			fprintf(stderr, "%s: %s\n", files[i], strerror(-r));
		for (prog = bpf_object__next_program(base, NULL); prog && !r;
		     prog = bpf_object__next_program(base, prog))
			r = nprograms == MAX_PROGRAMS
				    ? -E2BIG
				    : program_load(files[i], base, bpf_program__name(prog));
		if (base != shared)
			bpf_object__close(base);
	}
	bpf_object__close(shared);
	return r;
}

/* --- what the verifier came to -------------------------------------------------------------- */

static const char *line_next(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* The line of the log speaks of this instruction, or is of another kind: -1. */
static int line_insn(const char *line)
{
	char *end;
	long n;

	if (*line < '0' || *line > '9')
		return -1;
	n = strtol(line, &end, 10);
	return !strncmp(end, ": (", 3) && n < MAX_INSNS ? (int)n : -1;
}

static void reached_show(const char *name)
{
	static bool reached[MAX_INSNS + 1];
	int n;

	memset(reached, 0, sizeof(reached));
	for (const char *line = log_buf; *line; line = line_next(line)) {
		n = line_insn(line);
		if (n >= 0)
			reached[n] = true;
	}
	fputs(name, stdout);
	for (int i = 0; i < MAX_INSNS; i++) {
		if (!reached[i])
			continue;
		printf(" %d", i);
		while (reached[i + 1])
			i++;
		printf("-%d", i);
	}
	putchar('\n');
}

static void source_show(const char *name)
{
	static const char *source[MAX_INSNS];
	const char *last = "?";
	int n;

	memset(source, 0, sizeof(source));
	for (const char *line = log_buf; *line; line = line_next(line)) {
		n = line_insn(line);
		if (*line == ';')
			last = line;
		else if (n >= 0 && !source[n])
			source[n] = last;
	}
	for (n = 0; n < MAX_INSNS; n++)
		if (source[n])
			printf("%s %d %.*s\n", name, n, (int)strcspn(source[n], "\n"), source[n]);
}

/* --- the test ------------------------------------------------------------------------------ */

static int all_load(void **state)
{
	(void)state;
	return programs_load();
}

/* The column of this kernel in the head of the table, from 1 on; 0: it has none. */
static int column_of(const char *head)
{
	char *copy = strdup(head), *save, *word;
	unsigned int major, minor, a, b;
	struct utsname uts;
	int column = 0, found = 0;

	if (uname(&uts) || sscanf(uts.release, "%u.%u", &major, &minor) != 2)
		fail_msg("release %s", uts.release);
	for (word = strtok_r(copy, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
		if (sscanf(word, "%u.%u", &a, &b) == 2 && a == major && b == minor)
			found = column;
		column++;
	}
	free(copy);
	return found;
}

/* What the table says for the program in this column; 0: nothing. */
static unsigned int row_value(FILE *table, const char *name, int column)
{
	char line[256], *save, *word;

	rewind(table);
	while (fgets(line, sizeof(line), table)) {
		word = strtok_r(line, " \t\n", &save);
		if (!word || strcmp(word, name) != 0)
			continue;
		for (int i = 0; i < column && word; i++)
			word = strtok_r(NULL, " \t\n", &save);
		return word ? (unsigned int)strtoul(word, NULL, 10) : 0;
	}
	return 0;
}

static void programs_are_far_from_the_limit(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < nprograms; i++)
		if (programs[i].insns > LIMIT / 100 * LIMIT_PERCENT)
			fail_msg("%s: the verifier goes through %u instructions, more than %u %% "
				 "of what it would",
				 programs[i].name, programs[i].insns, LIMIT_PERCENT);
}

static void programs_have_not_grown(void **state)
{
	const char *path = getenv("IPN_VERIFIER_TABLE");
	char beside[640], head[256] = "";
	int column, bad = 0;
	FILE *table;

	(void)state;
	snprintf(beside, sizeof(beside), "%s/../tests/bpf/verifier.table", build);
	table = fopen(path ? path : beside, "re");
	assert_non_null(table);
	while (fgets(head, sizeof(head), table) && *head == '#')
		;
	column = column_of(head);
	if (!column) {
		fclose(table);
		skip();
	}
	for (unsigned int i = 0; i < nprograms; i++) {
		unsigned int was = row_value(table, programs[i].name, column);
		unsigned int more = was / 100 * GROWTH_PERCENT;

		if (programs[i].insns > was + (more > GROWTH_MIN ? more : GROWTH_MIN)) {
			print_error("%s: %u instructions, %u in the table\n", programs[i].name,
				    programs[i].insns, was);
			bad++;
		}
	}
	fclose(table);
	if (bad)
		fail_msg("should it be so: scripts/verifier-report --write");
}

static int tests_run(CMFixtureFunction load)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_far_from_the_limit),
		cmocka_unit_test(programs_have_not_grown),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	bool counts = !strcmp(mode, "--counts"), reached = !strcmp(mode, "--reached");
	ssize_t len = readlink("/proc/self/exe", build, sizeof(build) - sizeof("/.."));

	if (len < 0)
		return 1;
	memcpy(strrchr(build, '/'), "/..", sizeof("/.."));
	libbpf_set_print(say);
	only = argc > 2 ? argv[2] : "";
	if (!*mode)
		return tests_run(all_load);
	if (!counts && !reached && strcmp(mode, "--source") != 0) {
		fprintf(stderr, "usage: verifier_test [--counts|--reached|--source [NAME]]\n");
		return 2;
	}
	if (!counts) {
		log_show = reached ? reached_show : source_show;
		log_buf = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (log_buf == MAP_FAILED)
			return 1;
	}
	if (programs_load())
		return 1;
	for (unsigned int i = 0; i < nprograms && counts; i++)
		printf("%s %u\n", programs[i].name, programs[i].insns);
	return reached ? tests_run(NULL) : 0;
}
