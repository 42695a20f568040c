# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A part of the tests in a guest with another kernel: those of the BPF side, conformance with libipn
# and with the preloaded library, and LOSSLESS networks under load. A test sets SUITE_KERNEL=SERIES
# and sources this as the last thing it does, both on the host and in the guest.
#
# $IPN_SUITE limits it to what matches this extended regular expression (bpf/pool, conformance/lib,
# vm/pool), $IPN_SUITE_CPUS is how many CPUs the guest has (1). Unless IPN_TEST_KERNELS=all, what
# takes long and depends least on the kernel is left out, and bpf/sk, which fails when the kernel's
# worker for sockets gets too little of a busy CPU; with it, give tests/run -t 3600.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SUITE_TIMEOUT=300 # seconds for one test: the CPU is emulated, and the machine may be busy
suite_all=870     # for all of them
if [ "${IPN_TEST_KERNELS:-}" = all ]; then
	suite_all=3500
else
	IPN_SUITE=${IPN_SUITE:-'bpf/([^lps]|l[^o]|pool|sw)|vm/pool|conformance/lib'}
fi

# --- on the host ---------------------------------------------------------------------------------

# suite_pack: the archive for the guest, with the tree as far as it is needed at /ipn.
suite_pack()
{
	local file options=() stripped=$IPN_TEST_TMP/stripped

	mkdir "$stripped"
	for file in "$IPN_BUILD"/tests/{*_test,conformance-*,pool,ipncall,frames}; do
		case $file in *.d | */l3fuzz_test | */verifier_test) continue ;; esac
		strip -o "$stripped/${file##*/}" "$file"
		options+=(--file "$stripped/${file##*/}:ipn/build/tests/${file##*/}")
	done
	for file in ipn-fabric libipn-shim.so; do
		strip -o "$stripped/$file" "$IPN_BUILD/$file"
		options+=(--file "$stripped/$file:ipn/build/$file")
	done
	for file in "$top"/build/{examples,tests}/*.bpf.o "$top"/tests/{lib.sh,e2e/e2e.bash} \
		"$top"/tests/conformance/*.sh \
		"$top"/tests/vm/{"$(basename "$0")",suite.bash,pool.bash} \
		"$top"/tests/bpf/*_test.c; do
		options+=(--file "$file:ipn/${file#"$top"/}")
	done
	for file in bash ip jq nsenter ping setfacl setpriv timeout unshare; do
		options+=(--program "$file")
	done
	for file in tun veth bridge sch_ingress cls_bpf; do
		options+=(--module "$file")
	done
	"$top/scripts/make-initramfs" "suite-$SUITE_KERNEL" --kernel "$SUITE_KERNEL" \
		"${options[@]}" >/dev/null
}

suite_boot()
{
	local status=0

	"$top/scripts/run-guest" --name suite --memory 640 --cpus "${IPN_SUITE_CPUS:-1}" \
		--kernel "$SUITE_KERNEL" --initramfs "suite-$SUITE_KERNEL" --timeout "$suite_all" \
		--log "$IPN_TEST_TMP/console" \
		--cmd "IPN_TEST_GUEST=1 IPN_SUITE='${IPN_SUITE:-.}' \
			bash '/ipn/tests/vm/${0##*/}' 2>&1" ||
		status=$?
	tr -d '\r' <"$IPN_TEST_TMP/console"
	return $status
}

# --- in the guest --------------------------------------------------------------------------------

failed=0

# suite_one NAME COMMAND...: as tests/run does it. What a test that failed says is shown.
suite_one()
{
	local name=$1 started=$SECONDS status=0 tmp

	shift
	[[ $name =~ $IPN_SUITE ]] || return 0
	tmp=$(mktemp -d)
	chmod 755 "$tmp"
	IPN_TEST_PATIENCE=120 IPN_TEST_TMP=$tmp timeout "$SUITE_TIMEOUT" \
		unshare --net --mount --pid --fork --kill-child --mount-proc "$@" \
		>/tmp/said 2>&1 || status=$?
	rm -rf "$tmp"
	if [ $status = 0 ]; then
		echo "ok    $name, $((SECONDS - started)) s"
		return
	fi
	echo "FAIL  $name, $((SECONDS - started)) s, status $status"
	grep -vE '^(ok |\[ RUN|\[ +OK)' /tmp/said | tail -n 40
	failed=1
}

suite_run()
{
	local name

	uname -r
	for name in /ipn/build/tests/*_test; do
		name=${name##*/}
		[ ! -e "/ipn/tests/bpf/$name.c" ] ||
			suite_one "bpf/${name%_test}" "/ipn/build/tests/$name"
	done
	suite_one vm/pool bash /ipn/tests/vm/pool.bash
	suite_one conformance/lib bash /ipn/tests/conformance/lib.sh
	suite_one conformance/shim bash /ipn/tests/conformance/shim.sh
}

if [ -n "${IPN_TEST_GUEST:-}" ]; then
	suite_run
	exit $failed
fi

# The test's own network has no way out: what is downloaded must be here before.
if [ -z "${IPN_TEST_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
	"$top/scripts/fetch-kernel" "$SUITE_KERNEL" >/dev/null || exit 1
fi
. "$top/tests/lib.sh"
suite_pack
suite_boot
