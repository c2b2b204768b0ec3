# While the node-to-node mesh is off, each node with BGP must be selected by a BGPPeer that selects at
# least minReflectors route reflectors. The state after the change is evaluated, so that the same rule
# holds in an audit.
package bgpreflectorcoverage

violation contains {"msg": msg} if {
	not mesh_is_on
	count(uncovered) > 0
	msg := sprintf("%d of %d nodes would have fewer than %d route reflectors, for example %s", [
		count(uncovered),
		count(data.inventory.cluster.v1.Node),
		input.parameters.minReflectors,
		min(uncovered),
	])
}

violation contains {"msg": msg} if {
	not mesh_is_on
	some selector in selectors
	not condition(selector)
	msg := sprintf("this policy cannot read the selector %q", [selector])
}

calico := data.inventory.cluster["crd.projectcalico.org/v1"]

is_deleted if input.review.operation == "DELETE"

is_changed(kind, name) if {
	input.review.kind.kind == kind
	input.review.object.metadata.name == name
}

# The mesh after the change. Without a BGPConfiguration, or without this field, it is on.
mesh_is_on if object.get(configuration, "nodeToNodeMeshEnabled", true)

default configuration := {}

configuration := input.review.object.spec if {
	is_changed("BGPConfiguration", "default")
	not is_deleted
} else := calico.BGPConfiguration["default"].spec if {
	not is_changed("BGPConfiguration", "default")
}

# The specs of the BGPPeers after the change.
peers contains input.review.object.spec if {
	input.review.kind.kind == "BGPPeer"
	not is_deleted
}

peers contains spec if {
	some name
	spec := calico.BGPPeer[name].spec
	not is_changed("BGPPeer", name)
}

selectors contains peers[_].nodeSelector

selectors contains peers[_].peerSelector

reflectors := [name |
	data.inventory.cluster.v1.Node[name].metadata.annotations["projectcalico.org/RouteReflectorClusterID"]
]

# The peerSelectors that select enough route reflectors.
sufficient contains selector if {
	some selector in {selector | selector := peers[_].peerSelector}
	wanted := condition(selector)
	selected := [name | some name in reflectors; holds(wanted, data.inventory.cluster.v1.Node[name].metadata.labels)]
	count(selected) >= input.parameters.minReflectors
}

# What a node must fulfil to be selected by a BGPPeer with enough route reflectors.
covering contains condition(object.get(spec, "nodeSelector", "")) if {
	some spec in peers
	spec.peerSelector in sufficient
	not spec.node
}

covering contains {"node": spec.node} if {
	some spec in peers
	spec.peerSelector in sufficient
}

# The condition of a selector. It is undefined for other selectors: Rego has no parser for Calico's language.
condition(selector) := {"all": true} if {
	trim_space(selector) in {"", "all()"}
} else := {"has": part[1]} if {
	some part in regex.find_all_string_submatch_n(`^\s*has\(\s*([\w./-]+)\s*\)\s*$`, selector, 1)
} else := {"lacks": part[1]} if {
	some part in regex.find_all_string_submatch_n(`^\s*!\s*has\(\s*([\w./-]+)\s*\)\s*$`, selector, 1)
} else := {"key": part[1], "value": part[2]} if {
	some part in regex.find_all_string_submatch_n(`^\s*([\w./-]+)\s*==\s*['"]([^'"]*)['"]\s*$`, selector, 1)
}

holds(wanted, _) if wanted.all

holds(wanted, labels) if labels[wanted.has]

holds(wanted, labels) if {
	key := wanted.lacks
	not labels[key]
}

holds(wanted, labels) if labels[wanted.key] == wanted.value

# The nodes that no BGPPeer with enough route reflectors selects.
uncovered contains name if {
	some name in intersection(missed)
	data.inventory.cluster.v1.Node[name].metadata.annotations["projectcalico.org/IPv4Address"]
}

# For each form of condition, the nodes that no condition of this form selects. All conditions on the
# values of one label are one form, so that a node needs one look-up for them, not one for each BGPPeer.
missed contains object.keys(data.inventory.cluster.v1.Node) if count(covering) == 0

missed contains set() if {"all": true} in covering

missed contains {name |
	some name, node in data.inventory.cluster.v1.Node
	not node.metadata.labels[key] in values
} if {
	some key, values in values_of
}

missed contains {name |
	some name, node in data.inventory.cluster.v1.Node
	not node.metadata.labels[key]
} if {
	some {"has": key} in covering
}

missed contains {name | data.inventory.cluster.v1.Node[name].metadata.labels[key]} if {
	some {"lacks": key} in covering
}

missed contains object.keys(data.inventory.cluster.v1.Node) - names if count(names) > 0

values_of[key] contains value if some {"key": key, "value": value} in covering

names contains name if some {"node": name} in covering
