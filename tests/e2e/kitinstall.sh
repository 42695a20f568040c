#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kitinstall: what is installed is enough for a policy of one's own, and is no more than the kit
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

command -v clang >/dev/null || skip "needs clang"
command -v pkg-config >/dev/null || skip "needs pkg-config"
TMP=$IPN_TEST_TMP
INSTALLED=$TMP/installed
KIT=$INSTALLED/usr/include/ipn/kit

# compile SOURCE [OPTION]: as docs/policies.md says, where nothing of the source tree is: OBJECT.
compile()
{
	OBJECT=$TMP/made/$(basename "$1" .bpf.c).bpf.o
	(
		mkdir -p "$TMP/made"
		cd "$TMP/made"
		# shellcheck disable=SC2046
		clang -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror \
			"-I/usr/include/$(gcc -print-multiarch)" $(pkg-config --cflags libipn) \
			-MMD -MF "$OBJECT.d" "${@:2}" -c "$1" -o "$OBJECT"
	)
}

install_copy "$INSTALLED"
export PKG_CONFIG_PATH=$INSTALLED/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$INSTALLED
start_fabric

step "of headers, the public ones and the kit are installed"
wanted=$(
	for header in $(make -s -C "$IPN_ROOT" print-HEADERS); do
		echo "ipn/${header##*/}"
	done
	for header in "$IPN_ROOT"/bpf/kit/*.h private.h; do
		echo "ipn/kit/${header##*/}"
	done
)
assert_eq "$(sort <<<"$wanted")" \
	"$(cd "$INSTALLED/usr/include" && find . ! -type d -printf '%P\n' | sort)" "headers"

step "the headers of the kit need nothing but each other and the system's"
for header in "$KIT"/*.h; do
	echo "#include <ipn/kit/${header##*/}>" >"$TMP/alone.bpf.c"
	compile "$TMP/alone.bpf.c" -fsyntax-only
done

step "each example is compiled with what is installed, and loaded"
for example in "$INSTALLED"/usr/share/doc/ipn-fabric/examples/*.bpf.c; do
	compile "$example"
	read -r -d '' -a deps <"$OBJECT.d" || true
	for dep in "${deps[@]:1}"; do
		[[ $dep == '\' || $dep == "$INSTALLED"/* || $dep == /usr/* ]] ||
			fail "$example: compiled with $dep"
	done
	name=$(basename "$example" .bpf.c)
	ipn-fabric policy load "$OBJECT" --number 12 --name "$name"
	ipn-fabric policy unload "$name"
done

# hub NAME: loads OBJECT, and what one process sends on a network of it another one receives.
hub()
{
	ipn-fabric policy load "$OBJECT" --number 12 --name "$1"
	ipn-fabric net add "$NETS/$1" --policy "$1" --pool 64
	node from socket "connect $NETS/$1"
	node to socket "connect $NETS/$1"
	tell from "sendhex 68656c6c6f" "ok 5"
	tell to "recvhex 20000" "ok ${2:-}68656c6c6f"
	leave from
	leave to
	ipn-fabric net del "$NETS/$1"
	ipn-fabric policy unload "$1"
}

step "a message goes its way"
compile "$INSTALLED/usr/share/doc/ipn-fabric/examples/stamp.bpf.c"
hub stamp 00000000

step "a policy may use every name that does not begin with ipn_ or IPN_"
compile "$IPN_ROOT/tests/policies/names.bpf.c"
hub names

step "a name that the kernel would cut off is refused by the compiler"
policy() # NAME [LINE]
{
	cat <<-END
		#include <ipn/policy.h>
		static __always_inline struct ipn_decision handle(const struct ipn_ctx *c,
								  const struct ipn_msg *m)
		{
			return ipn_to_flood();
		}
		${2:-}
		IPN_POLICY($1, handle);
	END
}
policy sevenxx >"$TMP/name.bpf.c"
compile "$TMP/name.bpf.c"
hub sevenxx
policy eightxxx >"$TMP/name.bpf.c"
_capture compile "$TMP/name.bpf.c"
[[ $STATUS != 0 && $ERR == *"a policy's name has 1 to 7 characters"* ]] || fail "eightxxx: $ERR"

step "the fabric takes policies of its own version of the kit, none of another"
version() # MAJOR MINOR
{
	policy version "
#undef IPN_KIT_VERSION
#define IPN_KIT_VERSION (($1) << 16 | ($2))" >"$TMP/version.bpf.c"
	compile "$TMP/version.bpf.c"
}
version IPN_KIT_MAJOR IPN_KIT_MINOR
hub version
for other in "IPN_KIT_MAJOR + 1:IPN_KIT_MINOR" "IPN_KIT_MAJOR:IPN_KIT_MINOR + 1" 0:0; do
	version "${other%:*}" "${other#*:}"
	expect_err "of the kit, this fabric has" \
		ipn-fabric policy load "$OBJECT" --number 12 --name other
done
[[ $ERR == *"with version 0.0 of the kit"* ]] || fail "$ERR"

stop_fabric
