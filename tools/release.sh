#!/bin/sh
# Builds a release from the current folder, the root of the repository, into DIRECTORY. `make release` calls it.
#
#   release.sh DIRECTORY VERSION COMMIT EPOCH PLATFORM...
#
# EPOCH is the time stamp of every file, in seconds. The same commit gives the same bytes: nothing depends on the time, the
# folder or the user. It needs GNU tar, and no network once the modules of Go are there.
set -eu
export LC_ALL=C TZ=UTC
out=$1 version=$2 commit=$3 epoch=$4
shift 4
export SOURCE_DATE_EPOCH="$epoch" CGO_ENABLED=0
# In a repository without tags, VERSION is a commit, and the chart and the krew manifest need a semantic version.
case $version in v[0-9]*.*) ;; *) version=v0.0.0-g$version ;; esac
number=${version#v}
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pack FILE FOLDER NAME...: a compressed tar without the names of users and the times of this build.
pack() {
	file=$1 folder=$2
	shift 2
	tar --create --directory "$folder" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar "$@" |
		gzip -n >"$file"
}

echo "    manual pages, completions"
mkdir -p "$work/cli/man" "$work/cli/completions"
go test -trimpath -vet=off -ldflags "-s -w" ./cmd/bgpguard -run '^TestManualPages$' -man "$work/cli/man" >/dev/null
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$work/bgpguard" ./cmd/bgpguard
for shell in bash zsh fish powershell; do
	"$work/bgpguard" completion "$shell" >"$work/cli/completions/bgpguard.$shell"
done
cp LICENSE README.md "$work/cli"

images=
krew=
for platform in "$@"; do
	os=${platform%/*} arch=${platform#*/}
	echo "    $platform: binaries, SBOMs"
	mkdir -p "$work/$os-$arch"
	for program in bgpguard webhook; do
		# The webhook runs on Linux only.
		[ "$program" = bgpguard ] || [ "$os" = linux ] || continue
		GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
			-ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "$work/$os-$arch/$program" "./cmd/$program"
		bin/tools/cyclonedx-gomod bin -json -noserial -notimestamp -version "$version" \
			-output "$out/${program}_${number}_${os}_$arch.cdx.json" "$work/$os-$arch/$program" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
	done
	mkdir -p "$work/archive"
	cp -R "$work/cli/." "$work/$os-$arch/bgpguard" "$work/archive"
	archive=bgpguard_${number}_${os}_$arch.tar.gz
	pack "$out/$archive" "$work/archive" LICENSE README.md bgpguard completions man
	rm -rf "$work/archive"
	krew="$krew
  - selector:
      matchLabels:
        os: $os
        arch: $arch
    uri: https://github.com/bgpguard/bgpguard/releases/download/$version/$archive
    sha256: $(sha256sum "$out/$archive" | cut -d ' ' -f 1)
    bin: bgpguard"
	if [ "$os" = linux ]; then
		cp "$work/$os-$arch/webhook" "$out/webhook_${number}_${os}_$arch"
		images="$images -platform $platform=$work/$os-$arch"
	fi
done

echo "    images"
# shellcheck disable=SC2086 # A list of words.
bin/tools/image -target webhook -name "bgpguard/webhook:$version" $images -output "$out/image-webhook_$number.tar"
# shellcheck disable=SC2086
bin/tools/image -target cli -name "bgpguard/bgpguard:$version" $images -output "$out/image-bgpguard_$number.tar"

echo "    install.yaml, webhook.yaml, the chart"
tools/manifests.sh "$work/manifests" "bgpguard/webhook:$version"
cp "$work/manifests/install.yaml" "$work/manifests/webhook.yaml" "$out"
cp -R charts/bgpguard "$work/chart"
sed -i "s/^version: .*/version: $number/; s/^appVersion: .*/appVersion: $number/" "$work/chart/Chart.yaml"
mkdir "$work/packed"
mv "$work/chart" "$work/packed/bgpguard"
pack "$out/bgpguard-chart-$number.tgz" "$work/packed" bgpguard

cat >"$out/bgpguard.krew.yaml" <<EOF
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: bgpguard
spec:
  version: $version
  homepage: https://github.com/bgpguard/bgpguard
  shortDescription: Check BGP changes of Calico clusters before they are applied
  description: |
    Computes the BGP sessions and routes that Calico would have after a change, and evaluates policies
    written in Rego. It also audits clusters and plans migrations.
  platforms:$krew
EOF
(cd "$out" && find . -type f ! -name checksums.txt -printf '%P\n' | sort | xargs sha256sum >checksums.txt)
