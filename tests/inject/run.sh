#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# inject: whichever step of an operation fails or is the manager's last, nothing is left half done
#
# tests/inject/run.sh [ARGUMENTS OF inject]: tests/inject/main.c says what they are and what is
# compared. Without any: one row of each fault, by SEED, of some operations.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../e2e/e2e.bash"

export NETS
[ "$(uname -m)" = x86_64 ] || skip "inject knows the registers of x86-64 only"
SEED=${SEED:-1}
[ $# != 0 ] || set -- -n 1 -k '^(net add|net del|join|veth|xsk|vdejoin|adopt|up)$'
LAN=$NETS/lan QUIET=$NETS/quiet DIR=$IPN_TEST_TMP/sw

# What stands meanwhile: a port of each kind, and three pairs that talk.
start_fabric
container red
ip link add phys0 type veth peer name phys1
ip link set phys0 up
ip link set phys1 up
ip link add phys2 type veth peer name phys3
ipn-fabric net add "$NETS/stream" --pool 16384
ipn-fabric net add "$NETS/safe" --lossless --pool 64
ipn-fabric net add "$LAN" --policy switch --nodes 32 --pool 1024
ipn-fabric net add "$QUIET" --policy switch
ipn-fabric net add "$NETS/core" --policy l3
ipn-fabric policy load "$IPN_BUILD/examples/stamp.bpf.o" --number 10 --name stamp
ipn-fabric net add "$NETS/stamp" --policy stamp
{
	ipn-fabric attach "$LAN" --tap vm0
	ipn-fabric attach "$LAN" --veth eth0:red
	ipn-fabric attach "$LAN" --host h0
	ipn-fabric attach "$LAN" --grab phys0
	ipn-fabric attach "$LAN" --xsk x0
	ipn-fabric attach "$QUIET" --vde "$DIR"
	ipn-fabric attach "$QUIET" --unix "$IPN_TEST_TMP/dgram"
	ipn-fabric cable "$NETS/core" "$LAN" --port 0
	ipn-fabric addr add "$NETS/core" 10.1.0.254/24 --port 0
} >/dev/null
vde client
steady_start stream "$NETS/stream"
steady_start safe "$NETS/safe"
steady_start lan "$LAN"
kill_fabric

# call WANTED CALLS...: a command that makes these calls of libipn, and fails if they do
call()
{
	printf "OUT=\$(timeout 20 ipncall %s 2>&1); [ \"\$OUT\" = \"\$(printf '%s')\" ] ||
		{ echo \"\$OUT\" >&2; exit 1; }" "$2" "$1"
}

attach()
{
	OPS+=("$1" "ipn-fabric attach $LAN --port 20 $2 >/dev/null"
		"ipn-fabric detach $LAN --port 20")
}

OPS=("net add" "ipn-fabric net add $NETS/w" "ipn-fabric net del $NETS/w")
OPS+=("net del" "ipn-fabric net del $NETS/core" "ipn-fabric net add $NETS/core --policy l3 &&
	ipn-fabric cable $NETS/core $LAN --port 0 &&
	ipn-fabric addr add $NETS/core 10.1.0.254/24 --port 0")
OPS+=(join "$(call 'ok\nok\nok 5' "socket 'connect $NETS/stamp' 'send hello'")" true)
# As with other sockets, the path of one that has ended stays.
OPS+=(bind "trap 'rm -f $NETS/own' EXIT
	$(call 'ok\nok\nok\nok 5' "'socket 2' 'bind $NETS/own' connect 'send hello'")" true)
OPS+=(resize "$(call 'ok\nok\nok' "socket 'bind $LAN' 'set change 64'")"
	"$(call 'ok\nok\nok' "socket 'bind $LAN' 'set change 32'")")
attach tap "--tap vm1"
attach veth "--veth eth1:red"
attach host "--host h1"
attach grab "--grab phys2"
attach xsk "--xsk x1"
OPS+=(xskopen "OUT=\$(xskpeer $LAN x0 open)
	case \$OUT in 'ok '*) ;; *) echo \"\$OUT\" >&2; exit 1 ;; esac" true)
OPS+=(vde "ipn-fabric attach $QUIET --vde $DIR.1 >/dev/null"
	"ipn-fabric detach $QUIET --vde $DIR.1")
OPS+=(vdejoin "OUT=\$(timeout 20 vdeclient $DIR crowd 1 </dev/null); [ \"\$OUT\" = '1 in' ] ||
	{ echo \"\$OUT\" >&2; exit 1; }" true)
OPS+=(unix "ipn-fabric attach $QUIET --unix $IPN_TEST_TMP/unix1 >/dev/null"
	"ipn-fabric detach $QUIET --unix $IPN_TEST_TMP/unix1")
OPS+=(cable "ipn-fabric cable $NETS/core $LAN --port 1 --port2 20 >/dev/null"
	"ipn-fabric detach $LAN --port 20")
OPS+=(detach "ipn-fabric detach $LAN --port 1"
	"ipn-fabric attach $LAN --veth eth0:red --port 1 >/dev/null")
OPS+=("policy load" "ipn-fabric policy load $IPN_BUILD/examples/queue.bpf.o --number 11 \
	--name queue" "ipn-fabric policy unload queue")

# Last: what it breaks does not come back.
OPS+=(adopt @adopt true)

step "operations of a fabric, SEED=$SEED"
inject -s "$SEED" -l "$(limit 10)" "$@" "${OPS[@]}"
for pair in stream safe lan; do
	steady_stop $pair 2000
done
ipn-fabric down
rm -rf "${NETS:?}"/*

step "its beginning and its end"
inject -s "$SEED" -l "$(limit 10)" "$@" \
	up @up "ipn-fabric down" down "ipn-fabric down" @up
ipn-fabric down >/dev/null 2>&1 || true
