# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Completion of ipn-fabric for bash. The words come from the program itself (help --words), so there
# is nothing to keep up to date here.

_ipn_fabric_values()
{
	case $1 in
	network)
		"$program" "${globals[@]}" net show --json 2>/dev/null |
			sed -n 's/^ *"path": "\(.*\)",\{0,1\}$/\1/p'
		compgen -f -- "$current"
		;;
	file) compgen -f -- "$current" ;;
	dir) compgen -d -- "$current" ;;
	netns) (cd /run/netns 2>/dev/null && compgen -f) ;;
	policy)
		printf '%s\n' broadcast switch l3
		"$program" "${globals[@]}" policy list --json 2>/dev/null |
			sed -n 's/^ *"name": "\(.*\)",\{0,1\}$/\1/p'
		;;
	program) compgen -c -- "$current" ;;
	command) "$program" help --words "${command[@]:1}" | sed -n 's/ command$//p' ;;
	esac
}

_ipn_fabric()
{
	local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local words word type value='' i
	local -a command=() globals=() positions=() proposals=()

	words=$("$program" help --words 2>/dev/null) || return
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--run-dir | --bpffs)
			globals+=("$word" "${COMP_WORDS[i + 1]}")
			((i++))
			continue
			;;
		-*)
			type=$(sed -n "s/^$word //p" <<<"$words")
			[[ $type && $type != flag ]] && ((i++))
			continue
			;;
		esac
		if grep -qx "$word command" <<<"$words"; then
			command+=("$word")
			words=$("$program" help --words "${command[@]}" 2>/dev/null) || return
		else
			positions+=("$word")
		fi
		[[ ${command[0]-} == help ]] && break
	done

	if [[ ${command[0]-} == help ]]; then
		command=("${COMP_WORDS[@]:i:COMP_CWORD-i}")
		mapfile -t proposals < <(_ipn_fabric_values command)
	elif [[ $previous == -* ]] && value=$(sed -n "s/^$previous //p" <<<"$words") &&
		[[ $value && $value != flag ]]; then
		mapfile -t proposals < <(_ipn_fabric_values "$value")
	elif [[ $current == -* ]]; then
		mapfile -t proposals < <(sed -n 's/^\(--[^ ]*\) .*/\1/p' <<<"$words")
	elif grep -q ' command$' <<<"$words"; then
		mapfile -t proposals < <(sed -n 's/ command$//p' <<<"$words")
	elif [[ ${command[0]-} == run && ${#positions[@]} -gt 0 ]]; then
		# What a program takes, we do not know; files are likely.
		mapfile -t proposals < <(_ipn_fabric_values file)
	else
		# The next argument by position.
		type=$(grep -v '^-' <<<"$words" | sed -n "$((${#positions[@]} + 1))s/^[^ ]* //p")
		mapfile -t proposals < <(_ipn_fabric_values "$type")
	fi
	mapfile -t COMPREPLY < <(compgen -W "${proposals[*]}" -- "$current")
}

complete -o filenames -F _ipn_fabric ipn-fabric
