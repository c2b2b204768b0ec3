#!/bin/sh
# Prints the folder of a control plane (etcd, kube-apiserver and kubectl) that need not be built: that of KUBEBUILDER_ASSETS,
# else bin/controlplane if it is built, else binaries that setup-envtest downloads in seconds and verifies by the checksums of
# its index. It fails, with the reason on stderr, if downloads do not work. ENVTEST_INDEX names another index.
set -eu
version=1.36.2
# A commit, so that the checksums cannot change.
index=${ENVTEST_INDEX:-https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/2b2bbdfb5ed4d62cf0c665425c2a424223c46df8/envtest-releases.yaml}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	echo "$KUBEBUILDER_ASSETS"
	exit
fi
built=1
for program in etcd kube-apiserver kubectl; do
	[ -x "bin/controlplane/$program" ] || built=
done
if [ -n "$built" ]; then
	echo "$(pwd)/bin/controlplane"
	exit
fi

# within SECONDS COMMAND...: the command, which is ended after a time.
within() {
	seconds=$1
	shift
	"$@" &
	command=$!
	(
		sleep "$seconds" &
		trap 'kill $!' TERM
		wait $!
		kill "$command" 2>/dev/null
	) >/dev/null 2>&1 &
	watch=$!
	status=0
	wait "$command" || status=$?
	kill "$watch" 2>/dev/null || true
	return "$status"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The index is small: without it there is no download.
if ! within 5 bin/tools/setup-envtest list --index "$index" >"$log" 2>&1; then
	echo "    no download: $(tail -n 1 "$log" | cut -c 1-200)" >&2
	exit 1
fi
echo "    downloading Kubernetes $version (setup-envtest)" >&2
if ! within 90 bin/tools/setup-envtest use "$version" --index "$index" --bin-dir bin/envtest -p path 2>"$log"; then
	echo "    no download: $(tail -n 1 "$log" | cut -c 1-200)" >&2
	exit 1
fi
