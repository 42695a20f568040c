// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sim [--seeds N] [--from SEED] [--jobs N] [--until-failure] [--twice]
 * sim --seed SEED [-v | -vv]
 *
 * Runs seeds; each is a network, its processes and a schedule. A seed that fails is told, and fails
 * again in the same way with --seed SEED: -v tells what happens, -vv each access, too. With --twice
 * each seed is run twice and must do the same both times.
 */
#include "world.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_MAX 2000000
#define FAILURES_SHOWN 10
#define JOBS_MAX 256

struct options {
	uint64_t from, seeds;
	uint32_t jobs;
	bool until_failure, twice;
};

struct result {
	uint64_t passed, failed, steps;
};

static void run(uint64_t seed)
{
	sim_begin(seed);
	kernel_begin();
	check_begin();
	sim_step_max = STEPS_MAX;
	world_make();
	while (!sim_failed) {
		sim_run();
		if (sim_failed)
			break;
		sim_drain_all();
		check_idle();
		if (sim_failed || world_event())
			continue;
		if (world_ends() || !sim_time_passes())
			break;
	}
	if (!sim_failed)
		check_end();
}

static bool run_seed(uint64_t seed, bool twice)
{
	uint64_t steps, random;

	run(seed);
	if (twice && !sim_failed) {
		steps = sim_steps;
		random = sim_random();
		run(seed);
		if (steps != sim_steps || random != sim_random())
			sim_fail("the second time is not like the first");
	}
	if (sim_failed)
		printf("seed %llu\n", (unsigned long long)seed);
	return !sim_failed;
}

/* Of so many jobs this is one: each takes its turn. */
static struct result run_seeds(const struct options *o, uint32_t job)
{
	struct result r = { 0 };

	for (uint64_t i = job; i < o->seeds; i += o->jobs) {
		if (run_seed(o->from + i, o->twice))
			r.passed++;
		else
			r.failed++;
		r.steps += sim_steps;
		if (r.failed && (o->until_failure || r.failed == FAILURES_SHOWN))
			break;
	}
	return r;
}

/* Each job in a process of its own. */
static struct result run_jobs(const struct options *o)
{
	struct result sum = { 0 }, r;
	int fds[2], status;

	if (pipe(fds))
		abort();
	for (uint32_t job = 0; job < o->jobs; job++) {
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (!pid) {
			r = run_seeds(o, job);
			fflush(stdout);
			_exit(write(fds[1], &r, sizeof(r)) != sizeof(r));
		}
	}
	close(fds[1]);
	while (read(fds[0], &r, sizeof(r)) == sizeof(r)) {
		sum.passed += r.passed;
		sum.failed += r.failed;
		sum.steps += r.steps;
	}
	while (wait(&status) > 0)
		sum.failed += status != 0;
	return sum;
}

static double seconds(void)
{
	struct timeval tv;

	gettimeofday(&tv, NULL);
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--jobs N] [--until-failure] "
			"[--twice]\n       sim --seed SEED [-v | -vv]\n");
	exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "seeds", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "until-failure", no_argument, NULL, 'u' },
		{ "twice", no_argument, NULL, 't' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
		if (c == 'n')
			o->seeds = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			o->from = strtoull(optarg, NULL, 0);
		else if (c == 's')
			o->from = strtoull(optarg, NULL, 0), o->seeds = 1;
		else if (c == 'j')
			o->jobs = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 'u')
			o->until_failure = true;
		else if (c == 't')
			o->twice = true;
		else if (c == 'v')
			sim_trace++;
		else
			usage();
	}
	if (optind != argc || !o->jobs || o->jobs > JOBS_MAX)
		usage();
}

int main(int argc, char **argv)
{
	struct options o = { .from = 1, .seeds = 1000, .jobs = 1 };
	double begun = seconds();
	struct result r;

	parse(argc, argv, &o);
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	r = o.jobs == 1 ? run_seeds(&o, 0) : run_jobs(&o);
	printf("%llu million steps in %.1f s\n", (unsigned long long)(r.steps / 1000000),
	       seconds() - begun);
	printf("%llu passed, %llu failed\n", (unsigned long long)r.passed,
	       (unsigned long long)r.failed);
	return r.failed || !r.passed;
}
