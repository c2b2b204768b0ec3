#!/bin/sh
# Prints the title of a step of make, and how long the step before it took. The last step prints the times of all.
#
#   step.sh MAKE TITLE [all]
#
# MAKE is the process id of make: steps of another run are not counted.
set -eu
mkdir -p bin
state=bin/.steps make=$1 title=$2
now=$(date +%s)
owner=
[ ! -f "$state" ] || read -r owner _ <"$state"
[ "$owner" = "$make" ] || : >"$state"
echo "$make $now $title" >>"$state"
awk -v all="${3:-}" -v title="$title" '
	function clock(s) { return s < 60 ? s " s" : sprintf("%d min %02d s", s / 60, s % 60) }
	{ at[NR] = $2; sub(/^[0-9]+ [0-9]+ /, ""); name[NR] = $0 }
	END {
		if (NR > 1) print "    took " clock(at[NR] - at[NR-1])
		print "\n==> " title
		if (all == "") exit
		for (i = 1; i < NR; i++) printf "    %14s  %s\n", clock(at[i+1] - at[i]), name[i]
		printf "    %14s  all\n", clock(at[NR] - at[1])
	}' "$state"
