// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A policy's file, as far as it is looked at before the kernel is asked: the checks of the loader,
 * then libbpf's reading of it, and what is looked at in the object that came of that.
 */
#include "fuzz.h"

#include "manager/kernel/bpf.h"

static int no_shared_map(const void *bpf, const char *name)
{
	return -1;
}

#define bpf_shared_map(bpf, name) no_shared_map(NULL, name)
#include "../../user/manager/policies/loader.c" // NOLINT(bugprone-suspicious-include)

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static void object_look(struct loader *l)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "fuzz");

	libbpf_set_print(silent);
	l->obj = bpf_object__open_mem(l->data, l->size, &opts);
	if (!l->obj)
		return;
	if (!progs_check(l) && !maps_prepare(l))
		objects_add(l);
	bpf_object__close(l->obj);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policies ps;
	static struct loader l;
	struct errtext e = { "" };

	l = (struct loader){ .ps = &ps, .e = &e, .size = size, .data = malloc(size + 1) };
	CHECK(l.data);
	memcpy(l.data, data, size);
	if (!policy_file_check(l.data, size, &e) && !getenv("IPN_FUZZ_NO_LIBBPF"))
		object_look(&l);
	CHECK(memchr(e.text, '\0', sizeof(e.text)));
	free(l.data);
	return 0;
}
