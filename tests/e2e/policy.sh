#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# policy: users load policies of their own, and they work end to end
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

EXAMPLES=$IPN_BUILD/examples
POLICY_DIR=$IPN_FABRIC_BPFFS/ipn-fabric/v1/policy
TMP=$IPN_TEST_TMP
INSTALLED=$TMP/installed

# policy_of NAME JQ-EXPRESSION
policy_of()
{
	ipn-fabric policy list --json | jq -rc ".[] | select(.name == \"$1\") | $2"
}

# compile NAME: a policy outside of the tree, as docs/policies.md says, from standard input
compile()
{
	cat >"$TMP/$1.bpf.c"
	(cd "$TMP" && clang -target bpf -mcpu=v3 -O2 -g "-I/usr/include/$(gcc -print-multiarch)" \
		"-I$INSTALLED/usr/include" -c "$1.bpf.c" -o "$1.bpf.o")
}

start_fabric

step "load, list"
ipn-fabric policy load "$EXAMPLES/topic.bpf.o" --number 9 --name topic
ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 10 --name queue
ipn-fabric policy load "$EXAMPLES/stamp.bpf.o" --number 11 --name stamp
assert_eq '[9,false,0,["delport","delnet","setsockopt","getsockopt"]]' \
	"$(policy_of topic '[.number, .builtin, .networks, .callbacks]')" "policy list"
assert_eq 'broadcast switch l3 topic queue stamp' \
	"$(ipn-fabric policy list --json | jq -r '[.[].name] | join(" ")')" "names"
assert_eq true "$(policy_of switch .builtin)" "switch is built in"
ipn-fabric policy list | has '^ *9 *topic *loaded' || fail "policy list"

step "numbers that are no policies"
calls EPROTONOSUPPORT "socket 12"
calls EPROTONOSUPPORT "socket 64"
calls ok "socket 9"
expect_err "no such policy" ipn-fabric net add "$NETS/x" --policy nothing
expect_err "no policy 12" ipn-fabric net add "$NETS/x" --policy 12
[ ! -e "$NETS/x" ] || fail "a refused network left its path"

step "topic filter: who asked for a topic gets it, nobody else"
ipn-fabric net add "$NETS/topic" --policy topic --pool 64
assert_eq 1 "$(policy_of topic .networks)" "networks of the policy"
node a "socket 9" "connect $NETS/topic"
node b socket "connect $NETS/topic"
node c socket "connect $NETS/topic"
tell a "pset 9 1 65" ok # 'A'
tell b "pset 9 1 65" ok
tell b "pset 9 1 66" ok # 'B'
tell b "pget 9 1 66" "ok 1"
tell a "pget 9 1 66" "ok 0"
tell c "send Apple" "ok 5"
tell c "send Banana" "ok 6"
tell c "send Cherry" "ok 6"
tell a "send Avocado" "ok 7"
tell a "recvall 100" "ok Apple"
tell b "recvall 100" "ok Apple Banana Avocado"
tell c "recvall 100" "ok"
tell b "pset 9 2 65" ok
tell c "send Aubergine" "ok 9"
tell c "send Bean" "ok 4"
tell a "recvall 100" "ok Aubergine"
tell b "recvall 100" "ok Bean"

step "a batch of messages is filtered one by one"
printf '%s\n' A1 B1 C1 A2 B2 | ipn-fabric send "$NETS/topic"
tell a "recvall 100" "ok A1 A2"
tell b "recvall 100" "ok B1 B2"

step "options: errors are the policy's, the level's, the value's"
tell a "pset 9 7 1" ENOPROTOOPT
tell a "pset 9 1 256" EINVAL
tell a "pset 10 1 1" EPROTONOSUPPORT
tell a "pget 3 1 1" EPROTONOSUPPORT
tell a "ioctl 0x40044b01 1" EOPNOTSUPP
calls "ok ok ENOTCONN" "socket 9" "bind $NETS/topic" "pset 9 1 65"
calls "ok ENOTCONN" "socket 9" "pset 9 1 65"
calls "ok ok EOPNOTSUPP EOPNOTSUPP" "socket 2" "bind $NETS/plain" "pset 2 1 1" "pget 2 1 1"

step "who leaves has asked for nothing: the next one at its port gets nothing"
leave b
wait_until 20 has_ports "$NETS/topic" 2
node d socket "connect $NETS/topic"
tell d "get port" "ok 1"
tell c "send Bread" "ok 5"
tell d "recvall 100" "ok"

step "in use: not unloaded; taken: not loaded; but by nobody: not found"
expect_err "is used by 1 network" ipn-fabric policy unload topic
expect_err "is used by 1 network" ipn-fabric policy unload 9
expect_err "is taken by policy topic" \
	ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 9 --name other
expect_err "name topic is taken" \
	ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 12 --name topic
expect_err "is taken by policy switch" \
	ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 2 --name other
expect_err "is taken by policy l3" \
	ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 3 --name other
for number in 0 64 4294967295; do
	expect_err "is not from 4 to 63" \
		ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number $number --name other
done
expect_err "not a name for a policy" \
	ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 12 --name Other
expect_err "there is no policy 12" ipn-fabric policy unload 12
expect_err "no such policy" ipn-fabric policy unload other
expect_err "is built in" ipn-fabric policy unload switch
expect_status 1 as_nobody ipn-fabric policy unload stamp
[[ $ERR == *CAP_NET_ADMIN* ]] || fail "unload by nobody: $ERR"
cp "$EXAMPLES/queue.bpf.o" "$TMP/readable.bpf.o"
chmod 644 "$TMP/readable.bpf.o"
expect_status 1 as_nobody ipn-fabric policy load "$TMP/readable.bpf.o" --number 12 --name other
[[ $ERR == *CAP_NET_ADMIN* ]] || fail "load by nobody: $ERR"

step "queue: each message to one reader, in turn; producers get none"
ipn-fabric net add "$NETS/queue" --policy 10 --pool 64
for n in w0 w1 w2; do
	node $n socket "connect $NETS/queue"
done
node producer socket "shutdown rd" "connect $NETS/queue"
for i in 1 2 3 4 5 6 7; do
	tell producer "send j$i" "ok 2"
done
tell w0 "recvall 100" "ok j1 j4 j7"
tell w1 "recvall 100" "ok j2 j5"
tell w2 "recvall 100" "ok j3 j6"
leave w1
wait_until 20 has_ports "$NETS/queue" 3
for i in 8 9; do
	tell producer "send j$i" "ok 2"
done
tell w2 "recvall 100" "ok j8"
tell w0 "recvall 100" "ok j9"
leave w0
leave w2
wait_until 20 has_ports "$NETS/queue" 1
tell producer "send lost" "ok 4"
assert_eq 1 "$(stat_of "$NETS/queue" 3 .drops.not_reader)" "a job for nobody"

step "stamp: each message is rewritten, up to the MTU"
ipn-fabric net add "$NETS/stamp" --policy stamp --pool 64 --mtu 65535
node s0 socket "connect $NETS/stamp"
node s1 socket "connect $NETS/stamp"
tell s0 "sendhex 6869" "ok 2"
tell s0 "sendhex" "ok 0"
tell s1 "sendhex ff" "ok 1"
tell s1 "recvhex" "ok 000000006869"
tell s1 "recvhex" "ok 00000001"
tell s0 "recvhex" "ok 00000002ff"
tell s0 "sendlen 65531" "ok 65531"
tell s1 "recvlen" "ok 65535"
tell s0 "sendlen 65532" "ok 65532"
tell s1 "recvlen 100" EAGAIN
assert_eq 1 "$(stat_of "$NETS/stamp" 0 .drops.mtu)" "stamped past the MTU"

step "kill -9: traffic goes on, and the next manager has the policies, their maps and options"
before=$(ipn-fabric policy list --json)
pins=$(files "$POLICY_DIR")
kill_fabric
tell c "send Almond" "ok 6"
tell a "recvall 100" "ok Almond"
mkdir "$POLICY_DIR/20_new" # of a load that was cut off
start_fabric
assert_eq "$before" "$(ipn-fabric policy list --json)" "policies after the take-over"
assert_eq "$pins" "$(files "$POLICY_DIR")" "pins after the take-over"
tell c "send Anise" "ok 5"
tell a "recvall 100" "ok Anise"
tell a "pget 9 1 65" "ok 1"
tell a "pset 9 1 67" ok
tell c "send Cumin" "ok 5"
tell a "recvall 100" "ok Cumin"
tell s0 "sendhex aa" "ok 1"
tell s1 "recvhex" "ok 00000005aa"
expect_err "is used by 1 network" ipn-fabric policy unload topic
calls ok "socket 9"

step "unload, and load again under the same number"
for n in a c d; do leave $n; done
ipn-fabric net del "$NETS/topic"
ipn-fabric policy unload topic
calls EPROTONOSUPPORT "socket 9"
[ ! -e "$POLICY_DIR/9" ] || fail "unload left pins"
ipn-fabric policy load "$EXAMPLES/topic.bpf.o" --number 9 --name topic

step "broken files: one line, and the manager goes on"
head -c 3000 "$EXAMPLES/topic.bpf.o" >"$TMP/cut.o"
head -c 40 "$EXAMPLES/topic.bpf.o" >"$TMP/stub.o"
echo "int x;" | gcc -x c -c - -o "$TMP/host.o"
echo "not an object" >"$TMP/text.o"
: >"$TMP/empty.o"
head -c 5000000 /dev/zero >"$TMP/big.o"
refuse() # TEXT FILE
{
	expect_err "$1" ipn-fabric policy load "$2" --number 30 --name refused
	assert_eq "" "$(find "$POLICY_DIR" -name '30*')" "pins of what was refused"
}
refuse "cut off" "$TMP/cut.o"
refuse "cut off" "$TMP/stub.o"
refuse "another machine" "$TMP/host.o"
refuse "not a BPF object" "$TMP/text.o"
refuse "not a BPF object" "$TMP/empty.o"
refuse "at most" "$TMP/big.o"
refuse "not a regular file" /dev/null
refuse "No such file" "$TMP/missing.o"
refuse "not a policy" "$IPN_BUILD/bpf/hooks.bpf.o"
refuse "regular file" "$TMP"
python3 - "$EXAMPLES/topic.bpf.o" "$TMP/other-endian.o" <<'END'
import sys
d = bytearray(open(sys.argv[1], 'rb').read())
d[5] = 3 - d[5]
open(sys.argv[2], 'wb').write(d)
END
refuse "byte order" "$TMP/other-endian.o"

step "noise in the file: refused or loaded, never more than that"
pid=$FABRIC_PID
python3 - "$EXAMPLES/queue.bpf.o" "$TMP" <<'END'
import random, sys
random.seed(7)
good = open(sys.argv[1], 'rb').read()
for i in range(40):
    d = bytearray(good)
    for _ in range(random.choice([1, 4, 40])):
        d[random.randrange(64 if i % 4 == 0 else len(d))] = random.randrange(256)
    open('%s/noise%d.o' % (sys.argv[2], i), 'wb').write(d)
END
for i in {0..39}; do
	_capture ipn-fabric policy load "$TMP/noise$i.o" --number 31 --name noise
	case $STATUS in
	0) ipn-fabric policy unload noise ;;
	1) [[ -n $ERR && $ERR != *$'\n'* ]] || fail "noise $i: $ERR" ;;
	*) fail "noise $i: status $STATUS" ;;
	esac
done
kill -0 "$pid" || fail "the manager died of noise"
assert_eq "" "$(find "$POLICY_DIR" -name '31*')" "pins of noise"

step "policies compiled outside of the tree, with what is installed"
command -v clang >/dev/null || skip "needs clang"
install_copy "$INSTALLED"

# the first example of the page, word for word
sed -n '/^```c$/,/^```$/p; /^```$/q' "$IPN_ROOT/docs/policies.md" | grep -v '^```' | compile half
ipn-fabric policy load "$TMP/half.bpf.o" --number 12 --name half
ipn-fabric net add "$NETS/half" --policy half
for n in h0 h1 h2; do
	node $n socket "connect $NETS/half"
done
tell h0 "send hello" "ok 5"
tell h1 "recvall 50" "ok"
tell h2 "recvall 50" "ok hello"
for n in h0 h1 h2; do leave $n; done
ipn-fabric net del "$NETS/half"
ipn-fabric policy unload half

compile no_tc <<'END'
#include <ipn/policy.h>
SEC("xdp") int ipn_xdp_half(struct xdp_md *ctx)
{
	return XDP_DROP;
}
IPN_POLICY_MARK;
END
refuse "no handlemsg for tc" "$TMP/no_tc.bpf.o"
compile nothing <<'END'
#include <ipn/policy.h>
IPN_ON(newnet)
{
	return 0;
}
IPN_POLICY_MARK;
END
refuse "no handlemsg" "$TMP/nothing.bpf.o"
compile reject <<'END'
#include <ipn/policy.h>
static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u8 *draft = ipn_draft(c, m, 0);

	return ipn_to_port(draft[m->len]); /* may be NULL */
}
IPN_POLICY_SEND(reject, handle);
END
refuse "the kernel's verifier refuses program ipn_" "$TMP/reject.bpf.o"
[[ $ERR == *map_value_or_null* ]] || fail "the verifier's reason is missing: $ERR"
compile abi <<'END'
#include <ipn/policy.h>
static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	return ipn_to_flood();
}
#undef IPN_ABI_VERSION
#define IPN_ABI_VERSION 4711
IPN_POLICY_SEND(abi, handle);
END
refuse "compiled for ABI 4711" "$TMP/abi.bpf.o"
compile stray <<'END'
#include <ipn/policy.h>
static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	return ipn_to_flood();
}
IPN_POLICY(stray, handle);
SEC("syscall") int something(void *ctx)
{
	return 0;
}
END
refuse "program something: is neither" "$TMP/stray.bpf.o"
compile greedy <<'END'
#include <ipn/policy.h>
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 30);
	__type(key, __u32);
	__type(value, __u64);
} much SEC(".maps");
static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&much, &zero) ? ipn_to_flood() : ipn_drop(IPN_DROP_POLICY);
}
IPN_POLICY(greedy, handle);
END
refuse "map much: the maps" "$TMP/greedy.bpf.o"

step "all callbacks: ports chosen and refused, welcome and goodbye, networks refused, ioctls"
compile all <<'END'
#include <ipn/policy.h>

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u8 *draft = ipn_draft(c, m, 0);
	__u32 len = m->len;

	/* the message to port 7, another one to port 5, and as it was to port 7 again */
	ipn_forward(c, m, 7);
	if (!draft)
		return ipn_drop(IPN_DROP_POLICY);
	__builtin_memcpy(draft, "five", 4);
	if (!ipn_use(m, 0, 4))
		ipn_forward(c, m, 5);
	return ipn_to_none();
}
IPN_POLICY_SEND(all, handle);

struct seen {
	__u32 value;
};
IPN_PORT_DATA(ports, struct seen);
IPN_NET_DATA(nets, struct seen);

IPN_ON(newport)
{
	if (call->kind != IPN_KIND_PROC)
		return -1; /* EPERM */
	if (call->port != IPN_PORT_NONE && call->port != 5 && call->port != 7)
		return -99; /* EADDRNOTAVAIL */
	if (call->port != IPN_PORT_NONE)
		return call->port;
	return ipn_port_data(&ports, call->net, 7) ? 5 : 7;
}

static __always_inline int say(const struct ipn_call *call, const char *text, __u32 len)
{
	__u8 *draft = ipn_call_draft();

	if (!draft)
		return -1;
	__builtin_memcpy(draft, text, len);
	draft[len] = '0' + (call->port & 7);
	return len + 1;
}

IPN_ON(postnewport)
{
	struct seen seen = { 1 };
	int len = say(call, "welcome ", 8);

	ipn_port_set(&ports, call->net, call->port, &seen);
	return len > 0 ? ipn_call_send(call, call->port, len) : -1;
}

IPN_ON(predelport)
{
	int len = say(call, "goodbye ", 8);

	return len > 0 ? ipn_call_flood(call, len) : -1;
}

IPN_ON(delport)
{
	ipn_port_clear(&ports, call->net, call->port);
	return 0;
}

IPN_ON(newnet)
{
	struct seen *seen = ipn_net_data(&nets, call->net);

	if (call->numnodes < 8)
		return -22; /* EINVAL */
	if (seen)
		seen->value = 100;
	return 0;
}

IPN_ON(delnet)
{
	struct seen *seen = ipn_net_data(&nets, call->net);

	if (seen)
		seen->value = 0;
	return 0;
}

#define MINE_SET 0x40044b01
#define MINE_GET 0x80044b02
#define MINE_WHO 0x80044b04
IPN_ON(ioctl)
{
	struct seen *seen = ipn_net_data(&nets, call->net);

	if (!seen)
		return -22;
	if (call->name == MINE_SET && call->len == 4)
		__builtin_memcpy(&seen->value, call->data, 4);
	else if (call->name == MINE_GET && call->len == 4)
		__builtin_memcpy(call->data, &seen->value, 4);
	else if (call->name == MINE_WHO && call->len == 4)
		*(__u32 *)call->data = call->uid * 2 + call->manager;
	else
		return -25; /* ENOTTY */
	return 0;
}
END
ipn-fabric policy load "$TMP/all.bpf.o" --number 12 --name all
expect_err "refuses the network" ipn-fabric net add "$NETS/all" --policy all --nodes 7
[ ! -e "$NETS/all" ] || fail "a network its policy refused left its path"
ipn-fabric net add "$NETS/all" --policy all --pool 64
expect_err "refuses the port" ipn-fabric attach "$NETS/all" --tap t0
node seven socket "connect $NETS/all"
tell seven "get port" "ok 7"
tell seven "recvall 100" "ok welcome 7"
calls "ok ok EADDRNOTAVAIL" socket "set port 6" "connect $NETS/all"
node five socket "connect $NETS/all"
tell five "get port" "ok 5"
tell five "recvall 100" "ok welcome 5"
tell five "send to all" "ok 6"
tell seven "recvall 100" "ok to all"
calls "ok EADDRNOTAVAIL" socket "connect $NETS/all" # it is given 5, which is taken
tell seven "send x" "ok 1"
tell five "recvall 100" "ok five"
tell seven "ioctl 0x80044b02" "ok 100"
tell five "ioctl 0x40044b01 7" "ok 7"
tell seven "ioctl 0x80044b02" "ok 7"
tell seven "ioctl 0x40044b03 1" ENOTTY
# who asks: a member, one that is only bound, somebody who does not manage the network
tell seven "ioctl 0x80044b04" "ok 1"
chmod 0777 "$NETS/all"
assert_eq "ok ok ok 8002" "$(setpriv --reuid=4001 --regid=4001 --clear-groups -- ipncall \
	"socket 12" "bind $NETS/all" "ioctl 0x80044b04" | paste -s -d ' ')" "bound, as uid 4001"
ask five "recv 10000"
wait_until 20 asleep "${NODE_PID[five]}"
leave seven
answer five 40 "ok goodbye 7"
crash five
wait_until 20 has_ports "$NETS/all" 0
ipn-fabric net del "$NETS/all"
ipn-fabric policy unload all

step "sets with interfaces: frames from processes and containers, once each"
ipn-fabric net add "$NETS/frames" --policy stamp --pool 64
for c in red blue; do
	container $c
done
ipn-fabric attach "$NETS/frames" --veth eth0:red
ipn-fabric attach "$NETS/frames" --veth eth0:blue
node p socket "connect $NETS/frames"
node q socket "connect $NETS/frames"
python3 - >"$TMP/seen" <<'END' &
import os, socket, time
fds = []
for ns in ('red', 'blue'):
    h = os.open('/run/netns/' + ns, os.O_RDONLY)
    import ctypes
    if ctypes.CDLL(None).setns(h, 0):
        raise OSError('setns')
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
    s.bind(('eth0', 0x88b5))
    s.settimeout(10)
    fds.append((ns, s))
print('ready', flush=True)
for ns, s in fds:
    print(ns, s.recv(2000).hex(), flush=True)
s = fds[0][1]
s.send(bytes.fromhex('ffffffffffff02000000000188b5') + b'from red')
print('blue', fds[1][1].recv(2000).hex(), flush=True)
END
reader=$!
wait_until 20 grep -q ready "$TMP/seen"
eth=ffffffffffff02000000000788b5
tell q "recvall 50"
tell p "recvall 50"
first=$(stat_of "$NETS/frames" 2 .in_packets)
tell p "sendhex ${eth}$(printf 'x%.0s' {1..50} | od -v -An -tx1 | tr -d ' \n')"
tell q "recvhex 20000"
[[ $OUT == "ok $eth"*7878 ]] || fail "what the other process got: $OUT"
stamp=${OUT:31:8}
wait "$reader" || fail "the containers did not get it: $(cat "$TMP/seen")"
grep -q "^red $eth${stamp}7878" "$TMP/seen" || fail "red: $(cat "$TMP/seen")"
grep -q "^blue $eth${stamp}7878" "$TMP/seen" || fail "blue: $(cat "$TMP/seen")"
grep -q "^blue ffffffffffff02000000000188b5........66726f6d20726564" "$TMP/seen" ||
	fail "blue from red: $(cat "$TMP/seen")"
tell q "recvhex 20000"
[[ $OUT == "ok ffffffffffff02000000000188b5"*66726f6d20726564* ]] ||
	fail "a process, from a container: $OUT"
assert_eq 1 "$(($(stat_of "$NETS/frames" 2 .in_packets) - first))" "counted once"
before=$(stat_of "$NETS/frames" 2 .drops.runt)
tell p "send tiny" "ok 4"
tell q "recvlen 20000" "ok 8"
assert_eq 1 "$(($(stat_of "$NETS/frames" 2 .drops.runt) - before))" "too short for a device"

step "TCP between containers: what is yet to be cut is cut before a policy that sends"
compile plain <<'END'
#include <ipn/policy.h>
static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u8 *draft = ipn_draft(c, m, 0);

	if (!draft || ipn_use(m, 0, m->len))
		return ipn_drop(IPN_DROP_POLICY);
	return ipn_to_flood();
}
IPN_POLICY_SEND(plain, handle);
END
ipn-fabric policy load "$TMP/plain.bpf.o" --number 13 --name plain
ipn-fabric net add "$NETS/tcp" --policy plain --pool 1024
for c in red blue; do
	ipn-fabric attach "$NETS/tcp" --veth eth1:$c >/dev/null
done
node listener socket "connect $NETS/tcp"
in_netns red ip addr add 10.8.0.1/24 dev eth1
in_netns blue ip addr add 10.8.0.2/24 dev eth1
in_netns red timeout "$(limit 60)" python3 -c '
import socket
s = socket.create_server(("10.8.0.1", 7000))
c = s.accept()[0]
n = 0
while True:
    d = c.recv(65536)
    if not d:
        break
    n += len(d)
print(n)' >"$TMP/tcp" &
server=$!
in_netns blue timeout "$(limit 60)" python3 -c '
import socket, time
for _ in range(100):
    try:
        s = socket.create_connection(("10.8.0.1", 7000))
        break
    except OSError:
        time.sleep(0.05)
s.sendall(b"x" * 3000000)
s.close()'
wait $server || fail "no TCP through a policy that sends"
assert_eq 3000000 "$(cat "$TMP/tcp")" "bytes by TCP"
longest=$(ask listener "recvlen 20000"; answer listener 40; echo "${OUT#ok }")
[ "$longest" -le 1514 ] || fail "a process got $longest bytes"
for reason in mtu policy redirect segmenter bad_frame; do
	assert_eq 0 "$(stat_of "$NETS/tcp" 1 ".drops.$reason")" "drops: $reason"
done

step "down removes them"
stop_fabric
assert_eq "" "$(files "$IPN_FABRIC_BPFFS" | grep -v '\.debug$' || true)" "pins after down"
