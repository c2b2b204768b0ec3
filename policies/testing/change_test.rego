package policies.testing_test

# METADATA
# description: |
#   The input of a policy that evaluates changes. By default, alice updates BGPPeer to-reflectors
#   without changing it. The first argument patches the change. The next two arguments patch the
#   good state before and after it. Each patch is applied with object.union.
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
	"installation": null,
}

_unchanged := {
	"apiVersion": "projectcalico.org/v3",
	"kind": "BGPPeer",
	"metadata": {"name": "to-reflectors", "labels": {}, "annotations": {}},
	"spec": {"peerSelector": "has(route-reflector)"},
}
