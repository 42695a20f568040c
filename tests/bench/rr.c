/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rr: one byte to and fro over TCP between two network namespaces, the next one sent when the last
 * has come back. Prints the round trip's mean, median and 99th percentile.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench.h"

#define PORT 5152
#define MAX_SAMPLES (1u << 20)

static int tcp_socket(void)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("socket");
	return fd;
}

static void serve(const struct sockaddr_in *sin, _Atomic int *ready)
{
	int fd, listener = tcp_socket(), one = 1;
	char byte;

	if (bind(listener, (const void *)sin, sizeof(*sin)) || listen(listener, 1))
		die("listen");
	atomic_store(ready, 1);
	fd = accept(listener, NULL, NULL);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("accept");
	while (recv(fd, &byte, 1, 0) == 1)
		if (send(fd, &byte, 1, 0) != 1)
			die("server: send");
	_exit(0);
}

/* Returns the number of round trips; times them in samples unless that is NULL. */
static uint32_t ping(int fd, double seconds, uint32_t *samples)
{
	uint64_t start = now_ns(), until = start + (uint64_t)(seconds * 1e9);
	uint32_t n = 0;

	while (start < until && n < MAX_SAMPLES) {
		char out = (char)n, in = (char)~n;
		uint64_t end;

		if (send(fd, &out, 1, 0) != 1 || recv(fd, &in, 1, 0) != 1)
			die("client");
		errno = 0;
		if (in != out)
			die("the wrong byte came back");
		end = now_ns();
		if (samples)
			samples[n] = (uint32_t)(end - start);
		n++;
		start = end;
	}
	return n;
}

static const char usage[] =
	"usage: rr -a NETNS -b NETNS -d ADDRESS [-s SECONDS] [-w WARM-UP] [-c CPU,CPU]\n"
	"  -a  where the client is   -b  where the server is   -d  the server's address\n"
	"  -c  their CPUs (default 1,1)\n";

int main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const char *client = NULL, *server = NULL, *addr = NULL;
	uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples)), n;
	_Atomic int *ready = shared_alloc(sizeof(*ready));
	int cpu[2] = { 1, 1 }, c, fd;
	double seconds = 1, warmup = 0.2;
	uint64_t sum = 0;
	pid_t pid;

	if (!samples)
		die("memory");
	while ((c = getopt(argc, argv, "a:b:d:s:w:c:")) != -1) {
		switch (c) {
		case 'a':
			client = optarg;
			break;
		case 'b':
			server = optarg;
			break;
		case 'd':
			addr = optarg;
			break;
		case 's':
			seconds = atof(optarg);
			break;
		case 'w':
			warmup = atof(optarg);
			break;
		case 'c':
			if (sscanf(optarg, "%d,%d", &cpu[0], &cpu[1]) == 2)
				break;
			/* fall through */
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!client || !server || !addr || inet_pton(AF_INET, addr, &sin.sin_addr) != 1 ||
	    seconds <= 0 || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin_cpu(cpu[1]);
		netns_enter(server);
		serve(&sin, ready);
	}
	pin_cpu(cpu[0]);
	netns_enter(client);
	for (int i = 0; i < 2000 && !atomic_load(ready); i++)
		sleep_ns(1000000);
	fd = tcp_socket();
	if (connect(fd, (void *)&sin, sizeof(sin)))
		die("connect %s", addr);
	ping(fd, warmup, NULL);
	n = ping(fd, seconds, samples);
	close(fd);
	waitpid(pid, NULL, 0);
	errno = 0;
	if (!n)
		die("no round trip");
	for (uint32_t i = 0; i < n; i++)
		sum += samples[i];
	printf("mean_us=%.3f", (double)sum / n / 1e3);
	printf(" p50_us=%.3f", quantile_us(samples, n, 0.5));
	printf(" p99_us=%.3f trips=%u\n", quantile_us(samples, n, 0.99), n);
	return 0;
}
