# METADATA
# title: References to existing BGPFilters and Secrets
# description: |
#   Finds BGPPeers with BGPFilters that do not exist, and BGP passwords whose Secret or key
#   does not exist. If the state does not contain the BGPFilters or the Secrets, for example
#   because bgpguard may not list them, nothing counts as missing.
#
#   Calico does not report missing references. It skips a missing BGPFilter, so routes that
#   the filter should block are passed. Without its password, a session cannot come up if
#   the other end has one.
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/dangling-references.md
#     description: bgpguard, dangling-references
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpfilter
#     description: Calico, BGPFilter
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer and its password
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   eachBGPPeer: true
#   validationActions: [Warn]
#   exampleMessage: |
#     BGPPeer tor has BGPFilters that do not exist: 1 BGPFilter (no-default); Calico skips them and
#     passes the routes that they should block; create them, or remove them from spec.filters
#   remediation: |
#     1. Check the spelling of the names in `spec.filters` and `spec.password.secretKeyRef`.
#     2. Create the missing BGPFilter or Secret. Secrets must be in calico-node's namespace.
#     3. Create Secrets and BGPFilters before the BGPPeers that reference them. If you do this always,
#        you can set `validationActions: [Deny]`.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.dangling_references

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: A BGPPeer with missing BGPFilters. The size is their number.
violation contains {
	"id": sprintf("BGPPeer/%s/filters", [peer.name]),
	"size": count(missing),
	"msg": concat("", [
		sprintf("BGPPeer %s has BGPFilters that do not exist: %s; ", [
			peer.name,
			text.listed(count(missing), "BGPFilter", missing),
		]),
		"Calico skips them and passes the routes that they should block; ",
		"create them, or remove them from spec.filters",
	]),
	"details": {"filters": missing},
	"objects": array.concat(
		objects.named("BGPPeer", [peer.name], ["spec.filters"]),
		objects.named("BGPFilter", missing, []),
	),
} if {
	input.state.bgpFilters.known
	some peer in input.state.bgpPeers
	missing := sort({name | some name in peer.spec.filters; not name in input.state.bgpFilters.names})
	count(missing) > 0
}

# METADATA
# description: A password without a Secret or key.
violation contains {
	"id": sprintf("%s/%s/%s", [holder.kind, holder.name, holder.field]),
	"size": 1,
	"msg": sprintf("%s %s has no usable password: %s; %s cannot come up if the other end has one; %s", [
		holder.kind,
		holder.name,
		wrong.reason,
		holder.sessions,
		wrong.remedy,
	]),
	"details": {
		"field": sprintf("spec.%s", [holder.field]),
		"secret": object.get(holder.reference, "name", ""),
		"key": object.get(holder.reference, "key", ""),
	},
	"objects": objects.named(holder.kind, [holder.name], [sprintf("spec.%s", [holder.field])]),
} if {
	some holder in _passwords
	wrong := _wrong(holder)
}

_passwords contains {
	"kind": "BGPPeer",
	"name": peer.name,
	"field": "password",
	"reference": _reference(password),
	"sessions": "its sessions",
} if {
	some peer in input.state.bgpPeers
	password := peer.spec.password
	is_object(password)
}

# Only the mesh uses this password.
_passwords contains {
	"kind": "BGPConfiguration",
	"name": "default",
	"field": "nodeMeshPassword",
	"reference": _reference(password),
	"sessions": "the sessions of the mesh",
} if {
	input.state.mesh.enabled
	password := input.state.bgpConfigurations["default"].spec.nodeMeshPassword
	is_object(password)
}

_reference(password) := password.secretKeyRef if {
	is_object(password.secretKeyRef)
} else := {}

_wrong(holder) := {
	"reason": sprintf("spec.%s.secretKeyRef has no %s", [holder.field, concat(" and no ", missing)]),
	"remedy": "set name and key",
} if {
	missing := [part | some part in ["name", "key"]; object.get(holder.reference, part, "") in {"", null}]
	count(missing) > 0
}

_wrong(holder) := {
	"reason": sprintf("Secret %s does not exist in calico-node's namespace", [name]),
	"remedy": "create it, or reference another Secret",
} if {
	input.state.secrets.known
	name := holder.reference.name
	name != ""
	holder.reference.key != ""
	not input.state.secrets.keys[name]
}

_wrong(holder) := {
	"reason": sprintf("Secret %s has no key %s", [holder.reference.name, holder.reference.key]),
	"remedy": "add the key, or reference another one",
} if {
	input.state.secrets.known
	holder.reference.key != ""
	keys := input.state.secrets.keys[holder.reference.name]
	not holder.reference.key in keys
}
