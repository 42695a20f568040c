// SPDX-License-Identifier: GPL-2.0-or-later
/* What a process can still do when it has given up its powers: each try in one of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/powers.h"

/* A try returns 0 or its errno, and that is the exit status. */
typedef int try_fn(void);

static int status_of(enum powers_kind kind, try_fn *try)
{
	struct errtext e = { "" };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (powers_reduce(kind, &e)) {
			fprintf(stderr, "%s\n", e.text);
			_exit(255);
		}
		_exit(try());
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	return status;
}

static void gives(enum powers_kind kind, try_fn *try, int err)
{
	const int status = status_of(kind, try);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), err);
}

static void killed(enum powers_kind kind, try_fn *try)
{
	const int status = status_of(kind, try);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int try_nothing(void)
{
	return 0;
}

static int try_read_file(void)
{
	const int fd = open("/", O_RDONLY);

	return fd < 0 ? errno : 0;
}

static int try_write_file(void)
{
	const int fd = open("/dev/null", O_WRONLY);

	return fd < 0 ? errno : 0;
}

static int try_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int try_inet(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? errno : 0;
}

static int try_unix(void)
{
	return socket(AF_UNIX, SOCK_DGRAM, 0) < 0 ? errno : 0;
}

static int try_fork(void)
{
	const pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int try_unlisted(void)
{
	return syscall(SYS_vmsplice, -1, NULL, 0, 0) < 0 ? errno : 0;
}

static int try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

static int try_module(void)
{
	return syscall(SYS_delete_module, "no_such_module", 0) < 0 ? errno : 0;
}

static const enum powers_kind kinds[] = { POWERS_MANAGER, POWERS_FDSTORE, POWERS_LOADER,
					  POWERS_HELPER };

static void calls_that_are_never_right_kill(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		gives(kinds[i], try_nothing, 0);
		killed(kinds[i], try_ptrace);
		killed(kinds[i], try_module);
	}
}

static void calls_that_are_not_listed_fail(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		gives(kinds[i], try_unlisted, ENOSYS);
		gives(kinds[i], try_inet, ENOSYS);
	}
}

static void the_manager_works(void **state)
{
	(void)state;
	gives(POWERS_MANAGER, try_unix, 0);
	gives(POWERS_MANAGER, try_fork, 0);
	gives(POWERS_MANAGER, try_read_file, 0);
	gives(POWERS_MANAGER, try_write_file, 0);
	gives(POWERS_MANAGER, try_code, 0);
}

static void the_fdstore_opens_nothing(void **state)
{
	(void)state;
	gives(POWERS_FDSTORE, try_read_file, ENOSYS);
	gives(POWERS_FDSTORE, try_unix, ENOSYS);
	gives(POWERS_FDSTORE, try_fork, ENOSYS);
	gives(POWERS_FDSTORE, try_code, ENOSYS);
}

static void the_loader_reads_only(void **state)
{
	(void)state;
	gives(POWERS_LOADER, try_read_file, 0);
	gives(POWERS_LOADER, try_write_file, ENOSYS);
	gives(POWERS_LOADER, try_unix, ENOSYS);
	gives(POWERS_LOADER, try_fork, ENOSYS);
	gives(POWERS_LOADER, try_code, ENOSYS);
}

static void close_others_keeps_what_it_is_told(void **state)
{
	(void)state;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fds[] = { 40, 7, 41, 40 };

		for (int fd = 3; fd < 50; fd++)
			dup2(2, fd);
		if (powers_close_others(fds, ARRAY_SIZE(fds)))
			_exit(100);
		for (int fd = 0; fd < 60; fd++) {
			const bool kept = fd == 7 || fd == 40 || fd == 41;

			if ((fcntl(fd, F_GETFD) >= 0) != kept)
				_exit(fd + 1);
		}
		_exit(0);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_that_are_never_right_kill),
		cmocka_unit_test(calls_that_are_not_listed_fail),
		cmocka_unit_test(the_manager_works),
		cmocka_unit_test(the_fdstore_opens_nothing),
		cmocka_unit_test(the_loader_reads_only),
		cmocka_unit_test(close_others_keeps_what_it_is_told),
	};

#if defined(__SANITIZE_ADDRESS__) /* then calls are only logged (powers.c) */
	(void)tests;
	return 0;
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
