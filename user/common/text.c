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

/*
 * Length of the character at s, at most n bytes, and what it is. 0: it is not UTF-8 (too long a
 * form, a surrogate, beyond Unicode, or cut).
 */
static size_t utf8(const unsigned char *s, size_t n, __u32 *c)
{
	static const __u32 least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *s < 0x80   ? 1
		     : *s < 0xc0 ? 0
		     : *s < 0xe0 ? 2
		     : *s < 0xf0 ? 3
		     : *s < 0xf8 ? 4
				 : 0;

	if (!len || len > n)
		return 0;
	*c = len == 1 ? *s : *s & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	return *c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : len;
}

/* Characters that are not what a reader sees: ends of lines, turns of direction, nothing. */
static bool deceives(__u32 c)
{
	static const struct {
		__u32 first, last;
	} ranges[] = {
		{ 0x00, 0x1f },       { 0x7f, 0x9f },   /* control characters, U+0085 among them */
		{ 0xad, 0xad },       { 0x61c, 0x61c }, /* soft hyphen; Arabic letter mark */
		{ 0x200b, 0x200b },   { 0x200e, 0x200f }, /* no width; marks of direction */
		{ 0x2028, 0x202e },                       /* ends of lines; embeddings, overrides */
		{ 0x2060, 0x206f },                       /* joiner; isolates */
		{ 0xfeff, 0xfeff },   { 0xfff9, 0xfffb }, /* no width; annotations */
		{ 0xe0000, 0xe007f },                     /* tags */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

void text_clean(char *s, size_t size)
{
	size_t n = strnlen(s, size);

	for (size_t i = 0; i < n;) {
		__u32 c = 0;
		size_t len = utf8((unsigned char *)s + i, n - i, &c);

		if (!len || deceives(c)) {
			len = len ? len : 1;
			memset(s + i, '?', len);
		}
		i += len;
	}
}
