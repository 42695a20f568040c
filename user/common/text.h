/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and names as users write them: for the command line, the configuration file, requests. */
#ifndef IPN_COMMON_TEXT_H
#define IPN_COMMON_TEXT_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Decimal, or octal for modes (at most 0777), the whole string, within [min, max]. 0 or -EINVAL.
 */
int text_number(const char *s, __u32 min, __u32 max, __u32 *out);
int text_mode(const char *s, __u32 *out);
/* "broadcast", "hub", "switch", "l3" or a number. 0 or -EINVAL. */
int text_policy(const char *s, __u32 *out);
/* Could it be the name of a loaded policy? */
bool text_policy_name_ok(const char *s);
/*
 * A name for an interface, as the kernel checks it: 1 to 15 bytes, no '/', ':', space, not "." or
 * ".."; and no '%', which the kernel would take for a pattern.
 */
bool text_ifname_ok(const char *name);
/*
 * Makes text from a client harmless to show: valid UTF-8 of one line, without control characters
 * and those that change the direction of text or cannot be seen. Each byte of others becomes '?'.
 */
void text_clean(char *s, size_t size);

#endif
