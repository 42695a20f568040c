#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# who_may_do_what: every act by everybody, as the table of ipn(7) says
# (user/manager/access/rights.def)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

USER=65534

# Who asks, and how the path is for him: mode, and what else is done to it.
declare -A MODE=([r]=0704 [w]=0702 [x-others]=0701 [x-group]=0700 [owner]=0000 [net-raw]=0706
	[net-admin]=0700 	[root]=0000)

as_who() # WHO COMMAND...
{
	case $1 in
	root) "${@:2}" ;;
	net-*)
		local cap=${1/-/_}

		setpriv --reuid=$USER --regid=$USER --clear-groups --inh-caps="-all,+$cap" \
			--ambient-caps="-all,+$cap" --bounding-set="-all,+$cap" -- "${@:2}"
		;;
	*) setpriv --reuid=$USER --regid=$USER --clear-groups -- "${@:2}" ;;
	esac
}

# Two routers and a broadcast network, new for each: A is asked about, root has port 0 of it.
nets()
{
	local who=$1 net

	for net in a b core; do
		ipn-fabric net del "$NETS/$net" 2>/dev/null || : # the first time there is none
		rm -f "$NETS/$net"
	done
	ipn-fabric net add "$NETS/a" --mode 0700
	ipn-fabric net add "$NETS/b" --mode 0700
	ipn-fabric net add "$NETS/core" --policy l3 --mode 0700
	ipn-fabric attach "$NETS/a" --tap whotap --port 0 >/dev/null
	ipn-fabric attach "$NETS/a" --xsk whoxsk --port 1 >/dev/null
	for net in a b core; do
		chmod "${MODE[$who]}" "$NETS/$net"
		[ "$who" != owner ] || chown $USER "$NETS/$net"
		[ "$who" != x-group ] || setfacl -m u:$USER:x "$NETS/$net"
	done
}

# What each act is; the file err says how it went.
act() # WHO ACT
{
	local run=(as_who "$1" timeout 20)

	case $2 in
	receive) "${run[@]}" ipncall socket "connect $NETS/a" "recv 20" ;;
	send) "${run[@]}" ipncall socket "connect $NETS/a" "send hi" ;;
	open-xsk) "${run[@]}" xskpeer "$NETS/a" whoxsk open ;;
	bind) "${run[@]}" ipncall socket "bind $NETS/a" ;;
	see) "${run[@]}" ipn-fabric show "$NETS/a" ;;
	resize) "${run[@]}" ipncall socket "bind $NETS/a" "set change 64" ;;
	option) "${run[@]}" ipn-fabric addr add "$NETS/core" 10.1.0.1/24 --port 0 ;;
	detach) "${run[@]}" ipn-fabric detach "$NETS/a" --port 0 ;;
	net-del) "${run[@]}" ipn-fabric net del "$NETS/a" ;;
	cable) "${run[@]}" ipn-fabric cable "$NETS/a" "$NETS/b" ;;
	attach) "${run[@]}" ipn-fabric attach "$NETS/a" --tap whotap1 ;;
	attach-host) "${run[@]}" ipn-fabric attach "$NETS/a" --host whohost ;;
	policy) "${run[@]}" ipn-fabric policy unload 60 ;;
	down) "${run[@]}" ipn-fabric down ;;
	esac
}

# Was it refused for want of a right, and for that alone?
allowed() # ACT
{
	case $1 in
	receive) ! grep -qE 'EACCES|EPIPE|EBADF' out && grep -q EAGAIN out ;;
	send) grep -qx 'ok 2' out ;;
	open-xsk) grep -q '^ok ' out ;;
	bind) ! grep -qE 'EPERM|EACCES' out ;;
	resize) ! grep -qE 'EPERM|EACCES' out ;;
	policy) grep -q 'there is no policy 60' err ;;
	*) [ "$(cat status)" = 0 ] ;;
	esac
}

cd "$IPN_TEST_TMP" || exit 1
start_fabric
mapfile -t acts < <("$IPN_ROOT/scripts/rights-table")
read -r -a columns < <("$IPN_ROOT/scripts/rights-table" --columns)
[ ${#acts[@]} -ge 14 ] || fail "the table has ${#acts[@]} rows"
for row in "${acts[@]}"; do
	read -r -a cells <<<"$row"
	step "${cells[0]}"
	for ((i = 0; i < ${#columns[@]}; i++)); do
		who=${columns[i]} wanted=${cells[i + 1]}
		nets "$who"
		status=0
		act "$who" "${cells[0]}" >out 2>err || status=$?
		echo $status >status
		got=no
		allowed "${cells[0]}" && got=yes
		[ "$got" = "$wanted" ] ||
			fail "$who: ${cells[0]}: is $got, must be $wanted:" \
				"$(cat out err | tr '\n' ' ')"
		[ "${cells[0]}" != down ] || [ $got = no ] || start_fabric
	done
done
