# SPDX-License-Identifier: GPL-2.0-or-later
#
# The rows that rows.jq made, as lines of cells between '|', for people.

def figure:
	if . == null then "-"
	elif . >= 1e6 then "\(. / 1e4 | round / 100) M"
	elif . >= 1000 then "\(. / 10 | round / 100) k"
	else "\(. * 100 | round / 100)" end;

def percent: if . == null then "-" else "\(. * 10 | round / 10)%" end;

def wanted:
	if .at_least then ">= \(.at_least)" elif .at_most then "<= \(.at_most)" else "" end;

def verdict:
	if .failed then "FAILED"
	elif .noisy then "too noisy"
	elif .ok == null then ""
	elif .ok then "ok"
	else "MISSED" end;

def lost:
	if .fabric_lost_percent == null and .peer_lost_percent == null then ""
	else "\(.fabric_lost_percent | percent)/\(.peer_lost_percent | percent)" end;

["case", "unit", "fabric", "peer", "value", "ratio", "needs", "", "spread", "lost"],
(.[] | [
	.case, .unit, (.fabric | figure), .peer, (.peer_value | figure), (.ratio | figure), wanted,
	verdict,
	"\((.fabric_spread // 0) * 100 | round)/\((.peer_spread // 0) * 100 | round)%",
	lost
])
| join("|")
