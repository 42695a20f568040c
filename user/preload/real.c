// SPDX-License-Identifier: LGPL-2.1-or-later
#include "preload/real.h"

#include <dlfcn.h>
#include <errno.h>

void *shim_next[SHIM_CALLS];

static const char *const names[SHIM_CALLS] = {
#define X(type, name, params, args, ...) [SHIM_##name] = #name,
	SHIM_REAL(X) SHIM_REAL_OPEN(X)
#undef X
};

static long no_such_function(void)
{
	errno = ENOSYS;
	return -1;
}

void *shim_resolve(enum shim_call call)
{
	void *f = dlsym(RTLD_NEXT, names[call]);

	if (!f)
		f = (void *)no_such_function;
	__atomic_store_n(&shim_next[call], f, __ATOMIC_RELAXED);
	return f;
}

static inline void *next(enum shim_call call)
{
	void *f = __atomic_load_n(&shim_next[call], __ATOMIC_RELAXED);

	return __builtin_expect(f != NULL, 1) ? f : shim_resolve(call);
}

#define X(type, name, params, args, ...)                        \
	type shim_real_##name params                            \
	{                                                       \
		return ((type(*) params)next(SHIM_##name))args; \
	}
SHIM_REAL(X)
#undef X

#define X(type, name, params, args, open)                     \
	type shim_real_##name params                          \
	{                                                     \
		return ((type(*) open)next(SHIM_##name))args; \
	}
SHIM_REAL_OPEN(X)
#undef X

/* Other libraries may call before this, and threads begin after it. */
__attribute__((constructor)) static void resolve_all(void)
{
	for (int i = 0; i < SHIM_CALLS; i++)
		next((enum shim_call)i);
}
