/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_LOADER_H
#define IPN_MANAGER_LOADER_H

#include <linux/types.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct errtext;
struct policies;

/*
 * Begins to load a policy from a file (not taken); `done` is called when it is there or was refused
 * (r, with the text), unless it is cancelled before. *out is the loader's, and NULL again when it
 * has ended. Errors as for IPN_CTL_POLICY_LOAD.
 */
struct loading;
typedef void (*policy_loaded_fn)(void *arg, __u32 number, int r, const struct errtext *e);
int policy_load(struct policies *ps, sd_event *event, int file, __u32 number, const char *name,
		policy_loaded_fn done, void *arg, struct loading **out, struct errtext *e);
void policy_load_cancel(struct loading *l);
void policy_load_cancel_all(struct policies *ps);

/*
 * What is asked of an object before libbpf reads it: that its sections are in it, and that it was
 * compiled for this fabric. Errors: -ENOEXEC, -EINVAL it is no policy, -EPROTO of another version.
 */
int policy_file_check(const __u8 *data, size_t size, struct errtext *e);

#endif
