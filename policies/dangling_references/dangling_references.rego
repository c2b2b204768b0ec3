# METADATA
# title: References to what is there
# description: |
#   The BGPFilters that BGPPeers name are there, and so are the Secrets of BGP passwords
#   and the keys in them. Calico says nothing of what is not: a missing BGPFilter is
#   skipped, and the routes that it is to block pass; without a password the session does
#   not come up where the other side has one. Where the state does not tell which
#   BGPFilters or Secrets there are, nothing is missing.
# related_resources:
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgpfilter
#     description: Calico, BGPFilter
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/bgppeer
#     description: Calico, BGPPeer and its password
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   parameters:
#     type: object
#     additionalProperties: false
package policies.dangling_references

import data.policies.lib.text

# METADATA
# description: A BGPPeer with BGPFilters that are not there. Its size is how many they are.
violation contains {
	"id": sprintf("BGPPeer/%s/filters", [peer.name]),
	"size": count(missing),
	"msg": concat("", [
		sprintf("BGPPeer %s names %s (%s) that %s not there: ", [
			peer.name,
			text.counted(count(missing), "BGPFilter"),
			text.some_of(array.slice(missing, 0, 3), count(missing)),
			text.agree(count(missing), "is", "are"),
		]),
		sprintf("Calico skips %s, and the routes that %s to block pass; create %s, or take %s out of spec.filters", [
			text.agree(count(missing), "it", "them"),
			text.agree(count(missing), "it is", "they are"),
			text.agree(count(missing), "it", "them"),
			text.agree(count(missing), "it", "them"),
		]),
	]),
	"details": {"filters": missing},
	"objects": array.concat(
		[{"kind": "BGPPeer", "name": peer.name}],
		[{"kind": "BGPFilter", "name": name} | some name in missing],
	),
} if {
	input.state.bgpFilters.known
	some peer in input.state.bgpPeers
	missing := sort({name | some name in peer.spec.filters; not name in input.state.bgpFilters.names})
	count(missing) > 0
}

# METADATA
# description: A password that Calico does not find.
violation contains {
	"id": sprintf("%s/%s/%s", [holder.kind, holder.name, holder.field]),
	"size": 1,
	"msg": concat("", [
		sprintf("%s %s: %s: ", [holder.kind, holder.name, wrong]),
		sprintf("%s no password and do not come up where the other side has one; ", [holder.sessions]),
		_remedy(wrong),
	]),
	"details": {
		"field": sprintf("spec.%s", [holder.field]),
		"secret": object.get(holder.reference, "name", ""),
		"key": object.get(holder.reference, "key", ""),
	},
	"objects": [{"kind": holder.kind, "name": holder.name}],
} if {
	some holder in _passwords
	wrong := _wrong(holder)
}

_passwords contains {
	"kind": "BGPPeer",
	"name": peer.name,
	"field": "password",
	"reference": _reference(password),
	"sessions": "its sessions have",
} if {
	some peer in input.state.bgpPeers
	password := peer.spec.password
	is_object(password)
}

# Without the mesh nothing has its password.
_passwords contains {
	"kind": "BGPConfiguration",
	"name": "default",
	"field": "nodeMeshPassword",
	"reference": _reference(password),
	"sessions": "the sessions of the mesh have",
} if {
	input.state.mesh.enabled
	password := input.state.bgpConfigurations["default"].spec.nodeMeshPassword
	is_object(password)
}

_reference(password) := password.secretKeyRef if {
	is_object(password.secretKeyRef)
} else := {}

_wrong(holder) := sprintf("spec.%s.secretKeyRef has no %s", [holder.field, concat(" and no ", missing)]) if {
	missing := [part | some part in ["name", "key"]; object.get(holder.reference, part, "") in {"", null}]
	count(missing) > 0
}

_wrong(holder) := sprintf("there is no Secret %s in calico-node's namespace", [name]) if {
	input.state.secrets.known
	name := holder.reference.name
	name != ""
	holder.reference.key != ""
	not input.state.secrets.keys[name]
}

_wrong(holder) := sprintf("the Secret %s has no key %s", [holder.reference.name, holder.reference.key]) if {
	input.state.secrets.known
	holder.reference.key != ""
	keys := input.state.secrets.keys[holder.reference.name]
	not holder.reference.key in keys
}

_remedy(wrong) := "set name and key" if startswith(wrong, "spec.")

_remedy(wrong) := "create it, or name another" if not startswith(wrong, "spec.")
