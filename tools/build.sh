#!/bin/sh
# Builds one program of the Go module in the current folder without cgo, with a line of progress now and then.
#
#   build.sh OUTPUT PACKAGE [LDFLAGS]
#
# `go build` is silent for minutes on a cold cache, and with -v it prints a line for each of some 1,500 packages.
# This prints one line per 250 packages, drops the notes about downloads, and passes everything else through.
set -eu
output=$1 package=$2 ldflags=${3:-}

{
	# A pipe has the exit status of its last command, so a failure has to travel through it as a line of text.
	CGO_ENABLED=0 go build -v -trimpath -buildvcs=false -ldflags "-s -w $ldflags" -o "$output" "$package" 2>&1 ||
		echo "build.sh: $package failed"
} | awk '
	/^go: (downloading|extracting|finding) / { next }
	/^build\.sh: /                           { failed = 1 }
	/^[^ :]+$/                               { if (++packages % 250 == 0) print "    " packages " packages compiled"; next }
	                                         { print > "/dev/stderr" }
	END                                      { exit failed }
'
