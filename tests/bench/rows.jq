# SPDX-License-Identifier: GPL-2.0-or-later
#
# The rows of some cases from the samples taken so far.
#
#   jq -n --arg rows TABLE --argjson cases '["CASE"...]' --argjson noise N --argjson quick B
#      -f rows.jq SAMPLES
#
# TABLE: lines CASE|TEXT|UNIT|KEY|SIDE|PEER SIDE|PEER|LIMIT, as scripts/bench has them.
# SAMPLES: objects with case, side, and either error or what the program measured.

def round3: . * 1000 | round / 1000;

# The value at fraction q of an array of numbers, between two of them if need be.
def at($q):
	sort as $v
	| (($v | length) - 1) * $q
	| floor as $i
	| (. - $i) as $f
	| $v[$i] * (1 - $f) + ($v[$i + 1] // $v[$i]) * $f;

# Median, and the width of the middle half as a part of it.
def side($samples; $case; $side; $key):
	[$samples[] | select(.case == $case and .side == $side)] as $mine
	| [$mine[] | .[$key] // empty] as $values
	| [$mine[] | .lost // empty] as $lost
	| {errors: [$mine[] | .error // empty], values: $values}
	| if $values == [] then .
	  else ($values | at(0.5)) as $median
	  | . + {
		median: $median,
		spread: (($values | at(0.75) - at(0.25)) / ([$median, 1e-9] | max) | round3),
		lost: (if $lost == [] then null else $lost | at(0.5) end)
	  }
	  end;

[inputs] as $samples
| [
	$rows | split("\n")[] | select(. != "") | split("|")
	| select(.[0] as $case | $cases | index($case))
	| .[7] as $limit
	| (if $limit == "-" then null else $limit[2:] | tonumber end) as $bound
	| ($limit | startswith(">=")) as $least
	| side($samples; .[0]; .[4]; .[3]) as $fabric
	| side($samples; .[0]; .[5]; .[3]) as $peer
	| (if $fabric.median and ($peer.median // 0) > 0
	   then $fabric.median / $peer.median | round3
	   else null end) as $ratio
	| {
		id: .[0],
		case: .[1],
		unit: .[2],
		fabric: $fabric.median,
		peer: .[6],
		peer_value: $peer.median,
		ratio: $ratio
	}
	+ (if $bound == null then {}
	   elif $least then {at_least: $bound}
	   else {at_most: $bound} end)
	+ {
		ok: (if $bound == null then null
		     elif $ratio == null then false
		     elif $least then $ratio >= $bound
		     else $ratio <= $bound end),
		spread: ([$fabric.spread // 0, $peer.spread // 0] | max),
		noisy: ($quick or any($fabric, $peer;
			(.values | length) < 3 or (.spread // 0) > $noise)),
		failed: ($ratio == null or $fabric.errors + $peer.errors != []),
		fabric_spread: $fabric.spread,
		peer_spread: $peer.spread,
		fabric_lost_percent: $fabric.lost,
		peer_lost_percent: $peer.lost,
		fabric_samples: $fabric.values,
		peer_samples: $peer.values,
		errors: ($fabric.errors + $peer.errors | unique)
	}
  ]
