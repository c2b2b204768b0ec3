#!/bin/sh
# Renders config/ with an image into DIRECTORY, from the root of the repository:
#
#   manifests.sh DIRECTORY IMAGE
#
# crd.yaml, start.yaml, default.yaml and certmanager.yaml are the folders of config/ of that name. install.yaml and
# webhook.yaml hold the same as crd.yaml and default.yaml: first what starts the pods, then what `kubectl` accepts only when
# the kinds exist, and what the API server must not have before the pods are ready: the BGPPolicies and the registration.
set -eu
out=$1 image=$2
case ${image##*/} in
*@*) name=${image%@*} field=digest value=${image#*@} ;;
*:*) name=${image%:*} field=newTag value=${image##*:} ;;
*)
	echo "manifests.sh: image $image must have a tag or a digest" >&2
	exit 1
	;;
esac
mkdir -p "$out"
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
root=$(pwd -P)
# kustomize reads other folders by relative paths only.
up=$(cd "$overlay" && pwd -P | sed 's|[^/]\{1,\}|..|g; s|^/||')
for folder in crd start default certmanager; do
	cat >"$overlay/kustomization.yaml" <<EOF
resources: ["$up$root/config/$folder"]
images: [{name: bgpguard/webhook, newName: "$name", $field: "$value"}]
EOF
	bin/tools/kustomize build "$overlay" -o "$out/$folder.yaml"
done
# kustomize separates documents by a line of three hyphens.
of() {
	awk -v RS='\n---\n' -v kinds="^($2)\$" -v wanted="$3" '
		{ match($0, /(^|\n)kind: [A-Za-z]+/); kind = substr($0, RSTART, RLENGTH); sub(/.*: /, "", kind) }
		(kind ~ kinds) == wanted { sub(/\n+$/, ""); print (n++ ? "---\n" : "") $0 }' "$1"
}
{
	cat "$out/crd.yaml"
	echo ---
	of "$out/start.yaml" BGPPolicy 0
} >"$out/install.yaml"
of "$out/default.yaml" 'BGPPolicy|ValidatingWebhookConfiguration' 1 >"$out/webhook.yaml"
