// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which signals have a handler, and of which kind. Nothing is changed about them: the calls go on
 * to the system, and what they have done is then read back.
 */
#include "preload/shim.h"

static uint64_t ending, restarting; /* a bit for each signal, from 1 on */

static void signal_look(int sig)
{
	const uint64_t bit = sig > 0 && sig <= 64 ? 1ULL << (sig - 1) : 0;
	struct sigaction now;

	if (!bit || shim_real_sigaction(sig, NULL, &now))
		return;
	if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
		__atomic_and_fetch(&ending, ~bit, __ATOMIC_RELAXED);
		__atomic_and_fetch(&restarting, ~bit, __ATOMIC_RELAXED);
	} else if (now.sa_flags & SA_RESTART) {
		__atomic_or_fetch(&restarting, bit, __ATOMIC_RELAXED);
		__atomic_and_fetch(&ending, ~bit, __ATOMIC_RELAXED);
	} else {
		__atomic_or_fetch(&ending, bit, __ATOMIC_RELAXED);
		__atomic_and_fetch(&restarting, ~bit, __ATOMIC_RELAXED);
	}
}

/* After a call that may have changed one. */
static inline void signal_changed(int sig)
{
	int saved = errno;

	if (shim_idle())
		return;
	signal_look(sig);
	errno = saved;
}

void shim_signals_start(void)
{
	for (int sig = 1; sig <= 64; sig++)
		signal_look(sig);
}

uint64_t shim_signals_ending(bool *others)
{
	*others = __atomic_load_n(&restarting, __ATOMIC_RELAXED) != 0;
	return __atomic_load_n(&ending, __ATOMIC_RELAXED);
}

SHIM_API int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int r = shim_real_sigaction(sig, act, old);

	if (act)
		signal_changed(sig);
	return r;
}

SHIM_API sighandler_t signal(int sig, sighandler_t handler)
{
	sighandler_t r = shim_real_signal(sig, handler);

	signal_changed(sig);
	return r;
}
SHIM_ALIAS(sighandler_t, bsd_signal, signal, (int sig, sighandler_t handler));

SHIM_API sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	sighandler_t r = shim_real_sysv_signal(sig, handler);

	signal_changed(sig);
	return r;
}
SHIM_ALIAS(sighandler_t, __sysv_signal, sysv_signal, (int sig, sighandler_t handler));

SHIM_API sighandler_t sigset(int sig, sighandler_t handler)
{
	sighandler_t r = shim_real_sigset(sig, handler);

	signal_changed(sig);
	return r;
}

SHIM_API int siginterrupt(int sig, int flag)
{
	int r = shim_real_siginterrupt(sig, flag);

	signal_changed(sig);
	return r;
}
