#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# manuals: every call of libipn has a page, which is installed, and whose example works
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

step "calls and pages are the same"
calls=$(sed -n 's/^\t\(ipn_[a-z_]*\);$/\1/p' "$IPN_ROOT/user/lib/libipn.map" | sort)
[ "$(wc -l <<<"$calls")" -gt 20 ] || fail "no calls in libipn.map"
assert_eq "$calls" "$("$IPN_ROOT/scripts/man-calls" "$IPN_ROOT"/docs/*.3.scd | sort)" "calls, pages"
for call in $calls; do
	for page in "$IPN_ROOT"/docs/*.3.scd; do
		! "$IPN_ROOT/scripts/man-calls" "$page" | grep -qx "$call" || break
	done
	grep -q "^\*.*[ *]$call(" "$page" || fail "$call: no synopsis in $page"
done

step "they are installed, and lead to each other"
make -s -C "$IPN_ROOT" install-man DESTDIR="$IPN_TEST_TMP/root" PREFIX=/usr >/dev/null
for call in $calls; do
	file=$IPN_TEST_TMP/root/usr/share/man/man3/$call.3
	[ -s "$file" ] || fail "$call.3 is not installed"
	read -r so target <"$file"
	[ "$so" != .so ] || [ -s "$IPN_TEST_TMP/root/usr/share/man/$target" ] ||
		fail "$call.3 leads to $target, which is not there"
	[ "$so" != .so ] || grep -q "$call" "$IPN_TEST_TMP/root/usr/share/man/$target" ||
		fail "$target says nothing of $call"
done

step "what a page says under SEE ALSO is there"
for page in "$IPN_ROOT"/docs/*.3.scd; do
	for other in $(grep -o '\*ipn[-_a-z0-9]*\*([378])' "$page" | tr -d '*()' | sort -u); do
		[ -s "$IPN_TEST_TMP/root/usr/share/man/man${other: -1}/${other%?}.${other: -1}" ] ||
			fail "$(basename "$page"): $other is no page"
	done
done

step "examples are compiled as they stand"
for page in "$IPN_ROOT"/docs/*.3.scd; do
	name=$(basename "$page" .3.scd)
	awk '/^# EXAMPLE/ { here = 1 } here && /^```/ { n++; next } here && n == 1' "$page" |
		sed 's/\\\\/\\/g' >"$IPN_TEST_TMP/$name.c"
	[ -s "$IPN_TEST_TMP/$name.c" ] || fail "$name: no example"
	${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -I"$IPN_ROOT/include" \
		-o "$IPN_TEST_TMP/$name" "$IPN_TEST_TMP/$name.c" "$IPN_BUILD/libipn.a" -lpthread
done

step "and do what the pages say"
start_fabric
run() { timeout "$(limit 20)" "$IPN_TEST_TMP/$1" "${@:2}"; }
run ipn_socket
assert_eq "$NETS/made" "$(run ipn_bind "$NETS/made")" "ipn_bind"
ipn-fabric net add "$NETS/news" --mtu 1000
assert_eq "mtu 1000, next 0" "$(run ipn_setsockopt "$NETS/news")" "ipn_setsockopt"
run ipn_recv "$NETS/news" >"$IPN_TEST_TMP/heard" &
heard=$!
wait_until 20 has_ports "$NETS/news" 1
mkfifo "$IPN_TEST_TMP/in"
run ipn_poll "$NETS/news" <"$IPN_TEST_TMP/in" >"$IPN_TEST_TMP/polled" &
polled=$!
exec {in}>"$IPN_TEST_TMP/in"
wait_until 20 has_ports "$NETS/news" 2
run ipn_send "$NETS/news" one two
echo three >&"$in"
wait_until 20 grep -q three "$IPN_TEST_TMP/heard"
wait_until 20 grep -q onetwo "$IPN_TEST_TMP/polled"
exec {in}>&-
wait $polled || fail "ipn_poll: status $?"
ipn-fabric net del "$NETS/news"
wait $heard || fail "ipn_recv: status $?"
assert_eq "ready 2: one 2: two 1: three lost: 0" "$(xargs <"$IPN_TEST_TMP/heard")" "ipn_recv"
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --xsk x0 >/dev/null
run ipn_xsk_open "$NETS/lan" || fail "ipn_xsk_open: status $?"
stop_fabric
