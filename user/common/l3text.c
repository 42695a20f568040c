// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/l3text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A decimal number up to max, all of s. */
static int number(const char *s, __u32 max, __u32 *out)
{
	__u32 v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		v = v * 10 + (__u32)(*s - '0');
		if (v > max)
			return -EINVAL;
	}
	*out = v;
	return 0;
}

int l3text_prefix(const char *s, struct ipn_l3_prefix *out)
{
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	struct ipn_l3_prefix p = { 0 };
	char addr[INET6_ADDRSTRLEN];
	__u32 bits;

	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = '\0';
	if (inet_pton(AF_INET, addr, p.addr) == 1)
		p.family = IPN_L3_INET;
	else if (inet_pton(AF_INET6, addr, p.addr) == 1)
		p.family = IPN_L3_INET6;
	else
		return -EINVAL;
	bits = p.family == IPN_L3_INET ? 32 : 128;
	if (slash && number(slash + 1, bits, &bits))
		return -EINVAL;
	p.len = (__u8)bits;
	*out = p;
	return 0;
}

int l3text_addr(const char *s, struct ipn_l3_prefix *out)
{
	return strchr(s, '/') ? -EINVAL : l3text_prefix(s, out);
}

int l3text_mac(const char *s, __u8 mac[6])
{
	unsigned int b[6];
	char end;

	if (strlen(s) != 17 || sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3],
				      &b[4], &b[5], &end) != 6)
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		mac[i] = (__u8)b[i];
	return 0;
}

int l3text_route(const char *to, const char *word, const char *value, __u32 port,
		 struct ipn_l3_route *out, const char **wrong)
{
	struct ipn_l3_route r = { .port = port };

	*wrong = value;
	if (!strcmp(word, "via")) {
		if (l3text_addr(value, &r.via))
			return -EINVAL;
	} else if (strcmp(word, "port") || port != IPN_L3_PORT_ANY) {
		*wrong = word;
		return -EINVAL;
	} else if (number(value, 65535, &r.port)) {
		return -EINVAL;
	}
	*wrong = to;
	if (!strcmp(to, "default")) /* that of the next hop's family */
		r.to.family = r.via.family ? r.via.family : IPN_L3_INET;
	else if (!strcmp(to, "default6"))
		r.to.family = IPN_L3_INET6;
	else if (l3text_prefix(to, &r.to))
		return -EINVAL;
	*out = r;
	return 0;
}

const char *l3text_show(const struct ipn_l3_prefix *p, int len, char buf[L3TEXT_SIZE])
{
	char addr[INET6_ADDRSTRLEN] = "?";

	inet_ntop(p->family == IPN_L3_INET ? AF_INET : AF_INET6, p->addr, addr, sizeof(addr));
	snprintf(buf, L3TEXT_SIZE, len ? "%s/%u" : "%s", addr, p->len);
	return buf;
}
