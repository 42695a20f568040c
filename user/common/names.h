/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The numbers of abi.h as words, for people, JSON and the command line. The words are part of the
 * interface of the tools: they do not change.
 */
#ifndef IPN_NAMES_H
#define IPN_NAMES_H

#include <ipn/abi.h>

/* The word of a number, or NULL if it has none. */
const char *names_drop(__u32 reason);
const char *names_kind(__u32 kind);
const char *names_policy(__u32 policy);
const char *names_hook(__u32 hook);

/* A drop reason in one sentence, without a full stop, or NULL. */
const char *names_drop_text(__u32 reason);

/* The number of a word, or -ENOENT. */
int names_drop_find(const char *name);
int names_kind_find(const char *name);
int names_policy_find(const char *name);

#endif
