#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# faults: the simulation finds each of these faults, put into the product one at a time
#
# tests/sim/faults.sh [NAME...]: only these. SEEDS: how many are run at most (100000).

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(realpath "$here/../..")
seeds=${SEEDS:-100000}
tmp=$(mktemp -d "${IPN_TEST_TMP:-${TMPDIR:-/tmp}}/faults.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 wanted=("$@")

"$here/build" "$tmp/sim"

# fault NAME OBJECT FILE EDIT: EDIT is a command of sed for the whole file at once. Of the objects
# with that file in them one is enough: of global functions the program has those of bpf_hooks.
fault()
{
	local name=$1 object=$2 file=$3 edit=$4 tree=$tmp/$1 said

	[ ${#wanted[@]} = 0 ] || [[ " ${wanted[*]} " == *" $name "* ]] || return 0
	mkdir "$tree"
	cp -r "$root/bpf" "$root/include" "$root/user" "$tree/"
	sed -z -i "$edit" "$tree/$file"
	if cmp -s "$tree/$file" "$root/$file"; then
		echo "FAIL  $name: $file has changed, and the fault cannot be put into it"
		failed=$((failed + 1))
		return 0
	fi
	cp -r "$tmp/sim.d" "$tree/sim.d"
	"$here/build" "$tree/sim" "$tree" "$object"
	if said=$("$tree/sim" --seeds "$seeds" --until-failure); then
		echo "FAIL  $name: $seeds seeds have not found it"
		failed=$((failed + 1))
	else
		echo "PASS  $name: $(sed -n 's/^.*FAILED: //p; /^seed /p' <<<"$said" | head -n 2 |
			paste -sd ' ')"
		passed=$((passed + 1))
	fi
	rm -rf "$tree"
}

# The log: claim, copy, publish; who cannot, says so.
fault publish_before_copy bpf_hub bpf/core/log.h \
	's|\troom = len + 1;|\tFULL_BARRIER(XCHG(\&slot->seq, n + 1));\n&|'
fault claim_without_compare bpf_hub bpf/core/log.h \
	's/CAS(\(&slot->seq\), old, \((n + 1) | IPN_SEQ_BUSY\)) != old/(XCHG(\1, \2), 0)/'
fault skip_not_set bpf_hub bpf/core/log.h \
	's|slot_skip(slot, n);\( */. L4\)|;\1|'
fault drop_not_counted bpf_hub bpf/core/deliver.h \
	's|\t\tstats_drop(m->node, why);\n\t\treturn 0;|\t\treturn 0;|'
fault torn_message lib_rx user/lib/rx.c \
	's|if (!slot_whole(slot, n)) {|if (0) {|'
fault own_hides_others lib_tx user/lib/tx.c \
	's|if (__builtin_expect(rx_crowded(&s->rx, n), 0))|if (0)|'
fault own_behind_a_gap lib_rx user/lib/rx.c \
	's|(uint64_t n = log->scanned; n < head; n++)|(uint64_t n = head; n < head; n++)|'

# Sleeping and waking.
fault no_second_look lib_rx user/lib/rx.c \
	's|if (rx_look_locked(s) & what) { /\* W4 \*/|if (0) {|'
fault sleep_without_barrier lib_rx user/lib/rx.c \
	's|(&page->sleep, 1, __ATOMIC_SEQ_CST)|(\&page->sleep, 1, __ATOMIC_RELEASE)|'
fault bell_not_given_back lib_rx user/lib/rx.c \
	's|if (\(__atomic_sub_fetch(&s->waiters, 1, __ATOMIC_SEQ_CST)\))|if (\1, 0)|'
fault word_cleared_without_look bpf_hooks bpf/core/wake.h \
	's|\tif (word.bits) {|\tif (0) {|'
fault poll_takes_bell lib_poll user/lib/poll.c \
	's|\t\t\t\tif (!wants_input(&p->fds\[i\]))|\t\t\t\tif (0)|'

# The pool.
fault reader_not_counted bpf_hooks bpf/core/pool.h \
	's|} else if (c < p->c2) {|} else if (0) {|'
fault limit_too_high bpf_hooks bpf/core/pool.h \
	's|\tlimit = p->head + net->pool - pending;|&\n\tlimit++;|'
fault count_before_waiting bpf_hooks bpf/core/pool.h \
	's|\(FULL_BARRIER(XCHG(&head->waiting, 1));\) /. S2 ..\n\t*\(room = [^;]*(id);\)|\2\n\1|'
fault ring_before_clearing bpf_hooks bpf/core/pool.h \
	's|\(FULL_BARRIER([^;]*, 0));\) /. R5 ..\n\treturn \([^;]*;\)|\2\n\1\nreturn 0;|'
fault cursor_without_barrier lib_rx user/lib/rx.c \
	's|__atomic_thread_fence(__ATOMIC_SEQ_CST);|;|'

# Another log.
fault next_log_open bpf_hooks bpf/core/pool.h \
	's/|| READ_ONCE(head->closed)/|| 0/'
fault waiting_in_old_log lib_rx user/lib/rx.c \
	's|follow_changes(rx)) /. who waits|0) /* who waits|'
fault followed_in_silence lib_follow user/lib/follow.c \
	's|if (__atomic_load_n(&s->waiters, __ATOMIC_SEQ_CST))|if (0)|'

echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
