// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The runner: conformance-{lib,plain} [-k PATTERN] [-d DIRECTORY] [--list] [--json]
 *
 *   -k PATTERN    only rows whose id (GROUP.NAME) matches this extended regular expression
 *   -d DIRECTORY  where the rows make their paths; default: a new one in $TMPDIR or /tmp
 *   --list        the rows and what they tell, without running them
 *   --json        one object per row, and the counts last
 *
 * Exit status 0: all rows passed; 1: one failed; 2: wrong usage, or no row matches.
 */
#include "conf.h"

#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define ROW_SECONDS 15 /* times $IPN_TEST_SLOW */

static const struct rows *const tables[] = {
	&rows_calls,  &rows_messages, &rows_wait,     &rows_options, &rows_badinput, &rows_perm,
	&rows_policy, &rows_oob,      &rows_lossless, &rows_netdev,  &rows_resize,   &rows_programs,
#ifdef CONFORMANCE_PLAIN
	&rows_plain,
#endif
};

static int verdict_fd = -1; /* in a row's processes: where a failed check says why */
static bool json;
static int row_seconds = ROW_SECONDS;

_Noreturn void conf_fail(const char *file, int line, const char *fmt, ...)
{
	char why[1024];
	const char *name = strrchr(file, '/');
	size_t n;
	va_list ap;

	n = (size_t)snprintf(why, sizeof(why) / 2, "%s:%d: ", name ? name + 1 : file, line);
	va_start(ap, fmt);
	vsnprintf(why + n, sizeof(why) - n, fmt, ap);
	va_end(ap);
	if (verdict_fd < 0 || write(verdict_fd, why, strlen(why) + 1) < 0)
		fprintf(stderr, "%s\n", why);
	_exit(1);
}

static const char *error_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "no error";
}

long conf_ok(long r, const char *file, int line, const char *call)
{
	int err = errno;

	if (r < 0)
		conf_fail(file, line, "%s: %s", call, error_name(err));
	return r;
}

void conf_err(long r, int wanted, const char *file, int line, const char *call)
{
	int err = errno;

	if (r != -1)
		conf_fail(file, line, "%s: returns %ld, not %s", call, r, error_name(wanted));
	if (err != wanted)
		conf_fail(file, line, "%s: %s, not %s", call, error_name(err), error_name(wanted));
}

static _Noreturn void row_process(const struct row *row, const char *dir)
{
	setpgid(0, 0);
	umask(0);
	if (chdir(dir))
		FAIL("%s: %s", dir, strerror(errno));
	row->run();
	_exit(0);
}

/* What came of it, in why; empty: passed. */
static void row_wait(pid_t pid, int fd, char *why, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int status = 0, r;
	siginfo_t info;

	why[0] = '\0';
	/* the pipe ends with the last process of the row, or the first reason comes before */
	for (int left = row_seconds * 100; left; left--) {
		r = poll(&p, 1, 10);
		info.si_pid = 0;
		if (r > 0 ||
		    (!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid))
			break;
		if (left == 1)
			snprintf(why, size, "does not end within %d s", row_seconds);
	}
	if (!why[0] && poll(&p, 1, 0) > 0 && read(fd, why, size - 1) > 0)
		why[size - 1] = '\0';
	if (!why[0]) { /* it has ended, or its pipe has: both follow */
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			snprintf(why, size, "%s", strsignal(WTERMSIG(status)));
		else if (WEXITSTATUS(status))
			snprintf(why, size, "exit status %d", WEXITSTATUS(status));
		kill(-pid, SIGKILL);
		return;
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void json_text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void row_print(const struct row *row, const char *why, double ms)
{
	if (json) {
		printf("{\"id\": ");
		json_text(row->id);
		printf(", \"tells\": ");
		json_text(row->tells);
		printf(", \"passed\": %s, \"ms\": %.1f, \"why\": ", why[0] ? "false" : "true", ms);
		json_text(why);
		puts("}");
	} else {
		printf("%s  %-34s %s\n", why[0] ? "FAIL" : "ok  ", row->id, row->tells);
		if (why[0])
			printf("      %s\n", why);
	}
	fflush(stdout);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Returns whether it passed. */
static bool row_run(const struct row *row, const char *top)
{
	static unsigned int number;
	char dir[PATH_MAX], why[1024];
	double start = now_ms();
	int fd[2];
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/%u", top, ++number);
	if (mkdir(dir, 0777) || chmod(dir, 0777) || pipe2(fd, O_CLOEXEC))
		FAIL("%s: %s", dir, strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		FAIL("fork: %s", strerror(errno));
	if (!pid) {
		verdict_fd = fd[1];
		row_process(row, dir);
	}
	close(fd[1]);
	row_wait(pid, fd[0], why, sizeof(why));
	close(fd[0]);
	row_print(row, why, now_ms() - start);
	return !why[0];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int usage(void)
{
	fprintf(stderr, "usage: conformance [-k PATTERN] [-d DIRECTORY] [--list] [--json]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "list", no_argument, NULL, 'l' },
						 { "json", no_argument, NULL, 'j' },
						 { 0 } };
	const char *pattern = ".", *tmp = getenv("TMPDIR"), *slow = getenv("IPN_TEST_SLOW");
	unsigned int passed = 0, failed = 0;
	char own[PATH_MAX] = "", *dir = NULL;
	bool list = false;
	regex_t re;
	int c;

	while ((c = getopt_long(argc, argv, "k:d:", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			pattern = optarg;
			break;
		case 'd':
			dir = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'j':
			json = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return usage();
	if (slow && atoi(slow) > 0)
		row_seconds *= atoi(slow);
	if (!list && !dir) {
		snprintf(own, sizeof(own), "%s/conf.XXXXXX", tmp && *tmp ? tmp : "/tmp");
		dir = mkdtemp(own);
		if (!dir || chmod(dir, 0755)) {
			perror(own);
			return 2;
		}
	}

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct row *row = &tables[t]->row[i];

			if (regexec(&re, row->id, 0, NULL, 0))
				continue;
			if (list)
				printf("%-34s %s\n", row->id, row->tells);
			if (list || row_run(row, dir))
				passed++;
			else
				failed++;
		}
	}
	if (own[0])
		nftw(own, remove_one, 16, FTW_DEPTH | FTW_MOUNT | FTW_PHYS);
	regfree(&re);
	if (!passed && !failed) {
		fprintf(stderr, "conformance: no row matches %s\n", pattern);
		return 2;
	}
	if (json && !list)
		printf("{\"passed\": %u, \"failed\": %u}\n", passed, failed);
	else
		printf(list ? "%u rows\n" : "%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}
