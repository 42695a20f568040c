// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * keeplog PATH: joins, and prints "in". Then, for each line of its input:
 *
 *   leave         the port ends, by the process's own will; what it had mapped stays
 *   find WORD     "yes" if WORD stands in any of the logs that it was given, else "no"
 *   quit          ends
 *
 * A second process does the looking: it has the mappings of the first one and nothing else.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool find(const char *word)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], access[8];
	bool found = false;

	while (maps && fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;

		if (!strstr(line, "bpf-map") ||
		    sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, access) != 3 ||
		    access[0] != 'r' || access[1] == 'w')
			continue;
		found |= memmem((void *)from, to - from, word, strlen(word)) != NULL;
	}
	if (maps)
		fclose(maps);
	return found;
}

static void look(int in, FILE *out)
{
	FILE *lines = fdopen(in, "r");
	char line[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (lines && fgets(line, sizeof(line), lines)) {
		line[strcspn(line, "\n")] = '\0';
		fprintf(out, "%s\n", find(line) ? "yes" : "no");
		fflush(out);
	}
	exit(0);
}

int main(int argc, char *argv[])
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY), words[2];
	char line[256];

	if (argc != 2 || pipe(words))
		return 2;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", argv[1]);
	if (ipn_connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	if (fork() == 0) {
		dup2(words[0], 0);
		syscall(SYS_close_range, 3, ~0U, 0);
		look(0, stdout);
	}
	puts("in");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "quit"))
			return 0;
		if (!strcmp(line, "leave")) {
			puts(ipn_close(fd) ? strerror(errno) : "ok");
			fflush(stdout);
		} else if (!strncmp(line, "find ", 5)) {
			dprintf(words[1], "%s\n", line + 5);
		}
	}
	return 0;
}
