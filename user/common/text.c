// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/text.h"

#include <ctype.h>
#include <ipn/policy_abi.h>
#include <limits.h>

#include "common/names.h"
#include "common/util.h"

int text_number(const char *s, __u32 min, __u32 max, __u32 *out)
{
	unsigned long long v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (unsigned int)(*s - '0');
		if (v > UINT_MAX)
			return -EINVAL;
	}
	if (v < min || v > max)
		return -EINVAL;
	*out = (__u32)v;
	return 0;
}

int text_mode(const char *s, __u32 *out)
{
	__u32 v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '7')
			return -EINVAL;
		v = v << 3 | (__u32)(*s - '0');
		if (v > 0777)
			return -EINVAL;
	}
	*out = v;
	return 0;
}

int text_policy(const char *s, __u32 *out)
{
	static const struct {
		const char *name;
		__u32 number;
	} names[] = {
		{ "broadcast", IPN_POLICY_BROADCAST },
		{ "hub", IPN_POLICY_BROADCAST },
		{ "switch", IPN_POLICY_SWITCH },
		{ "l3", IPN_POLICY_L3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(s, names[i].name)) {
			*out = names[i].number;
			return 0;
		}
	}
	/* 0 is "whatever the network has": nothing that could be chosen. */
	return text_number(s, IPN_POLICY_ANY + 1, IPN_POLICY_MAX - 1, out);
}

bool text_policy_name_ok(const char *s)
{
	if (!islower((unsigned char)*s) || strlen(s) >= IPN_POLICY_NAME_MAX || !strcmp(s, "any"))
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '_' &&
		    *s != '-')
			return false;
	return true;
}

bool text_ifname_ok(const char *name)
{
	size_t n = strnlen(name, IPN_NAME_MAX);

	if (n == 0 || n >= IPN_NAME_MAX || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		/* isspace() of the kernel, where 0xa0 is one, too. */
		if (c == '/' || c == ':' || c == '%' || c == ' ' || (c >= '\t' && c <= '\r') ||
		    c == 0xa0)
			return false;
	}
	return true;
}

void text_clean(char *s, size_t size)
{
	for (size_t i = 0; i < size && s[i]; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 127)
			s[i] = '?';
}
