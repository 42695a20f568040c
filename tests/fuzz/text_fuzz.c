// SPDX-License-Identifier: GPL-2.0-or-later
/* Numbers, names, addresses and texts as users write them (user/common). */
#include "fuzz.h"

#include "common/l3text.h"
#include "common/names.h"
#include "common/text.h"

static void numbers(const char *s, uint32_t min, uint32_t max)
{
	__u32 out;

	if (!text_number(s, min, max, &out))
		CHECK(out >= min && out <= max);
	if (!text_mode(s, &out))
		CHECK(out <= 0777);
	text_policy(s, &out);
	if (text_policy_name_ok(s))
		CHECK(strlen(s) > 0);
	if (text_ifname_ok(s))
		CHECK(strlen(s) < IPN_NAME_MAX && !strpbrk(s, "/:% "));
	names_drop_find(s);
	names_kind_find(s);
	names_policy_find(s);
}

static void addresses(const char *s)
{
	struct ipn_l3_prefix prefix, again;
	char shown[L3TEXT_SIZE];
	__u8 mac[6];

	l3text_mac(s, mac);
	if (!l3text_addr(s, &prefix))
		CHECK(!l3text_addr(l3text_show(&prefix, 0, shown), &again) &&
		      !memcmp(&prefix, &again, sizeof(prefix)));
	if (!l3text_prefix(s, &prefix))
		CHECK(!l3text_prefix(l3text_show(&prefix, 1, shown), &again) &&
		      !memcmp(&prefix, &again, sizeof(prefix)));
}

static void route(const char *text, uint32_t port)
{
	char copy[256];
	char *words[3] = { copy, "", "" };
	struct ipn_l3_route out;
	const char *wrong = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (int i = 1; i < 3; i++) {
		char *blank = strchr(words[i - 1], ' ');

		if (!blank)
			break;
		*blank = '\0';
		words[i] = blank + 1;
	}
	if (l3text_route(words[0], words[1], words[2], port, &out, &wrong))
		CHECK(wrong == words[0] || wrong == words[1] || wrong == words[2]);
}

/* What is shown has no control characters, and is clean for good. */
static void clean(const char *text, size_t len)
{
	char *first = malloc(len + 1), *second = malloc(len + 1);

	CHECK(first && second);
	memcpy(first, text, len + 1);
	text_clean(first, len + 1);
	CHECK(strlen(first) == strlen(text));
	for (const char *c = first; *c; c++)
		CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
	memcpy(second, first, strlen(first) + 1);
	text_clean(second, len + 1);
	CHECK(!strcmp(first, second));
	free(first);
	free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint32_t min = take32(&in), max = take32(&in);
	size_t len = in.left;
	char *text = take_text(&in);

	numbers(text, min, max);
	addresses(text);
	route(text, max);
	clean(text, len);
	free(text);
	return 0;
}
