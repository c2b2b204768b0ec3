#!/bin/sh
# Installs the Debian or Ubuntu packages that some tests need, if their programs are missing.
#
#   system.sh PROGRAM=PACKAGE...
#
# Without apt-get, or without the right to run it, the script prints the command that root has to run, and fails.
set -eu
# Programs of root are not in the PATH of every user.
PATH=$PATH:/usr/sbin:/sbin
packages=
for need in "$@"; do
	command -v "${need%%=*}" >/dev/null && continue
	case "$packages " in *" ${need#*=} "*) ;; *) packages="$packages ${need#*=}" ;; esac
done
[ -n "$packages" ] || exit 0

install="apt-get install -y --no-install-recommends$packages"
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	sudo=none
fi
if [ "$sudo" = none ] || ! command -v apt-get >/dev/null; then
	echo "Missing packages:$packages (Debian's names). As root, run:" >&2
	echo "    apt-get update && $install" >&2
	exit 1
fi
echo "    installing$packages with apt-get"
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# apt-get prints a screenful for each package; it matters only on failure.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
