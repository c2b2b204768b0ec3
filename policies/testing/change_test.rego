package policies.testing_test

# METADATA
# description: |
#   The input of a policy that judges changes: unless the change is changed by a patch, as
#   object.union does, alice updates BGPPeer to-reflectors with what it has. The states before
#   and after it are the good one, each changed by a patch of its own.
change_with(change, before, after, parameters) := object.union(input_with(after, parameters), {
	"before": input_with(before, {}).state,
	"change": object.union(_no_change, change),
})

_no_change := {
	"operation": "UPDATE",
	"kind": "BGPPeer",
	"name": "to-reflectors",
	"user": "alice",
	"groups": ["system:authenticated"],
	"dryRun": false,
	"object": _unchanged,
	"oldObject": _unchanged,
}

_unchanged := {
	"apiVersion": "projectcalico.org/v3",
	"kind": "BGPPeer",
	"metadata": {"name": "to-reflectors", "labels": {}, "annotations": {}},
	"spec": {"peerSelector": "has(route-reflector)"},
}
