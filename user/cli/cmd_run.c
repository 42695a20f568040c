// SPDX-License-Identifier: GPL-2.0-or-later
/* run: a program under the preloaded library (user/preload). */
#include <limits.h>

#include "cli/fabric.h"
#include "cli/program.h"
#include "common/util.h"

#define SHIM_NAME "libipn-shim.so"
#ifndef IPN_SHIM_DIR /* the Makefile tells; a checker of the source does not */
#define IPN_SHIM_DIR "/usr/local/lib/ipn-fabric"
#endif
#define PRELOAD "LD_PRELOAD"

/* As of env(1) and the shell. */
enum { RUN_CANNOT = 126, RUN_NOT_FOUND = 127 };

/* Beside this program (a build that was not installed), or where it is installed. */
static int find_shim(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash && !util_copy(slash, (size_t)(path + PATH_MAX - slash), "/" SHIM_NAME) &&
	    !access(path, R_OK))
		return 0;
	(void)util_copy(path, PATH_MAX, IPN_SHIM_DIR "/" SHIM_NAME);
	return access(path, R_OK) ? -errno : 0;
}

/* The library comes before whatever else is preloaded. */
static int set_preload(const char *shim)
{
	const char *others = getenv(PRELOAD);
	_cleanup_free_ char *all = NULL;

	if (!others || !*others)
		return setenv(PRELOAD, shim, 1) ? -errno : 0;
	if (asprintf(&all, "%s:%s", shim, others) < 0)
		return -ENOMEM;
	return setenv(PRELOAD, all, 1) ? -errno : 0;
}

/* The program may change its directory. */
static void absolute_run_dir(const struct cli_args *args)
{
	_cleanup_free_ char *path = realpath(cli_run_dir(args), NULL);

	if (path)
		setenv(IPN_CTL_ENV_RUN_DIR, path, 1);
}

int cmd_run(const struct cli_args *args)
{
	const char *program = args->value[CLI_RUN_PROGRAM].text;
	char shim[PATH_MAX];
	const char *why;
	int fd, r;

	r = find_shim(shim);
	if (r < 0) {
		cli_fail(args, shim, "%s (make install puts it there)", strerror(-r));
		return RUN_CANNOT;
	}
	r = set_preload(shim);
	if (r < 0) {
		cli_fail_errno(args, shim, r);
		return RUN_CANNOT;
	}
	absolute_run_dir(args);
	fd = client_open(cli_run_dir(args), NULL);
	if (fd == -ENETDOWN)
		cli_fail(args, NULL,
			 "no fabric runs here: %s/" IPN_CTL_SOCKET
			 ": sockets of AF_IPN will fail until one does (start it with: " CLI_PROGRAM
			 " up)",
			 cli_run_dir(args));
	util_close_fd(&fd);
	why = program_refuses_preload(program);
	if (why) /* what it starts may be another kind of program */
		cli_fail(args, program,
			 "%s: it gets no sockets of AF_IPN, since no library can be preloaded into "
			 "it (let it call libipn, or come in by VDE or datagrams: see "
			 "ipn-fabric(8), run)",
			 why);
	execvp(program, args->rest);
	r = errno;
	cli_fail(args, program, "%s", strerror(r));
	return r == ENOENT ? RUN_NOT_FOUND : RUN_CANNOT;
}
