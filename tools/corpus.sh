#!/bin/sh
# Adds inputs that `make fuzz` has found to testdata/fuzz, from the root of the repository:
#
#   corpus.sh [TARGET...]
#
# Go keeps in its cache what a fuzz target found. An input is added if it covers statements of this module that the seeds, and
# the inputs added before it, do not cover. Short inputs come first. Of many inputs, every second or third one is tried. A target
# has at most 20 files of 40 KiB in all.
set -eu
files=20 bytes=40960 candidates=60
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
module=$(go list -m)
cache=$(go env GOCACHE)/fuzz
grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd pkg policies certs test |
	while IFS=: read -r file declaration; do
		target=${declaration#func } package=$(dirname "$file")
		[ $# = 0 ] || case " $* " in *" $target "*) ;; *) continue ;; esac
		found=$cache/$module/$package/$target
		[ -d "$found" ] || continue
		go test -c -o "$work/test" -vet=off -covermode=set -coverpkg=./pkg/...,"./$package" "./$package"
		kept=$package/testdata/fuzz/$target
		mkdir -p "$kept"
		# covered runs inputs by name and prints the statements that they cover.
		covered() {
			rm -f "$work/profile"
			(cd "$package" && timeout 60 "$work/test" -test.run "$1" -test.coverprofile "$work/profile" >/dev/null 2>"$work/log") || {
				echo "corpus.sh: $package $target fails with $1" >&2
				cat "$work/log" >&2
				exit 1
			}
			awk '$3 == 1 { print $1 }' "$work/profile" | sort -u
		}
		covered "^$target\$" >"$work/known"
		before=$(wc -l <"$work/known")
		step=$(($(ls "$found" | wc -l) / candidates + 1))
		ls -Sr "$found" | awk -v step="$step" "NR % step == 0" | while read -r input; do
			[ "$(ls "$kept" | wc -l)" -lt "$files" ] || break
			[ ! -e "$kept/$input" ] || continue
			size=$(cat "$kept"/* "$found/$input" 2>/dev/null | wc -c)
			[ "$size" -le "$bytes" ] || break
			cp "$found/$input" "$kept/$input"
			covered "^$target\$/^$input\$" >"$work/new"
			if [ -n "$(comm -13 "$work/known" "$work/new")" ]; then
				sort -u -o "$work/known" "$work/known" "$work/new"
			else
				rm "$kept/$input"
			fi
		done
		rmdir "$kept" 2>/dev/null || true
		echo "$package $target: $(ls "$kept" 2>/dev/null | wc -l) inputs; $before statements were covered, now $(wc -l <"$work/known")"
	done
