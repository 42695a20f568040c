// SPDX-License-Identifier: GPL-2.0-or-later
/* Text of clients that is shown: what becomes of each kind of byte. */
#include "common/text.h"

#include <stdio.h>
#include <string.h>

static int failed;

static void cleaned(const char *what, const char *in, const char *want)
{
	char text[64];

	memset(text, 'x', sizeof(text));
	snprintf(text, sizeof(text), "%s", in);
	text_clean(text, sizeof(text));
	if (strcmp(text, want) == 0)
		return;
	fprintf(stderr, "%s: wanted '%s', got '%s'\n", what, want, text);
	failed = 1;
}

static void cut_at_the_end(void)
{
	char text[4] = { 'a', 'b', (char)0xe2, (char)0x82 }; /* of three bytes, and no end */

	text_clean(text, sizeof(text));
	if (memcmp(text, "ab??", sizeof(text)) == 0)
		return;
	fprintf(stderr, "cut at the end: got '%.4s'\n", text);
	failed = 1;
}

int main(void)
{
	cleaned("plain", "/run/ipn/lan (1) \"x\"\\", "/run/ipn/lan (1) \"x\"\\");
	cleaned("letters of the world", "é ß 网 \xf0\x9f\x90\xa7", "é ß 网 \xf0\x9f\x90\xa7");
	cleaned("control characters", "a\nb\tc\x1b[1m\x7f", "a?b?c?[1m?");
	cleaned("control characters of Latin 1",
		"a\xc2\x85"
		"b\xc2\x9b",
		"a??b??");
	cleaned("ends of lines",
		"a\xe2\x80\xa8"
		"b\xe2\x80\xa9",
		"a???b???");
	cleaned("overrides of direction",
		"a\xe2\x80\xae"
		"b\xe2\x81\xa6"
		"c\xd8\x9c",
		"a???b???c??");
	cleaned("what cannot be seen",
		"a\xe2\x80\x8b"
		"b\xef\xbb\xbf"
		"c\xf3\xa0\x81\x81",
		"a???b???c????");
	cleaned("no UTF-8",
		"a\xff"
		"b\x80",
		"a?b?");
	cleaned("too long a form", "\xc0\xaf\xe0\x80\xaf", "?????");
	cleaned("a surrogate", "\xed\xa0\x80", "???");
	cleaned("beyond Unicode", "\xf4\x90\x80\x80", "????");
	cut_at_the_end();
	return failed;
}
