# METADATA
# title: Common causes of violations
# description: |
#   Facts of a state that explain violations of several policies: BGP that an Installation disables, an
#   address that several nodes have, and BGPPeers that name a node with another AS number than its own.
#   A policy whose violation follows from such a fact names the fact and its fix, and not a fix of its own.
package policies.lib.causes

import data.policies.lib.objects
import data.policies.lib.text

# METADATA
# description: |
#   How to fix a violation of some nodes in a family: by fixing its causes, if the nodes of the causes
#   are as many, by first fixing its causes and then as usual if they are fewer, and as usual without
#   causes.
# scope: document
advice(found, nodes, usual) := concat("; ", [cause.text | some cause in found]) if {
	count(found) > 0
	sum([cause.nodes | some cause in found]) >= nodes
} else := concat("; ", array.concat(
	[cause.text | some cause in found],
	[sprintf("if that does not suffice, %s", [usual])],
)) if {
	count(found) > 0
} else := usual

# METADATA
# description: |
#   The causes in a family, from input.state.addresses and input.state.otherASNumbers: a text, and
#   the number of nodes.
of(family, addresses, others) := array.concat(
	[{"text": text_, "nodes": addresses.shared.nodes} |
		text_ := shared(family, addresses)
		text_ != ""
	],
	[{"text": text_, "nodes": others.nodes} |
		text_ := other_as_numbers(others)
		text_ != ""
	],
)

# METADATA
# description: |
#   The Installation that disables BGP, from input.state.bgp, as the one cause of a violation of some
#   nodes. Empty if BGP is enabled: other causes count then.
# scope: document
disabled(bgp, nodes) := [{"text": _disabled(bgp), "nodes": nodes}] if {
	not bgp.enabled
} else := []

_disabled(bgp) := concat("", [
	sprintf("Installation %s is being deleted, and calico-node with it; ", [bgp.installation]),
	"do not delete it",
]) if {
	bgp.deleting
} else := concat("", [
	sprintf("Installation %s disables BGP, so there are no sessions; ", [bgp.installation]),
	"set spec.calicoNetwork.bgp: Enabled",
])

# METADATA
# description: The Installation that disables BGP, as an object at fault.
disabling(bgp) := objects.named("Installation", [bgp.installation], ["spec.calicoNetwork.bgp"])

# METADATA
# description: |
#   The objects at fault in a family if the nodes of its causes are as many as the given number, as
#   in advice: the nodes that share an address, and the BGPPeers with another AS number. Empty
#   otherwise.
blamed(family, addresses, others, nodes) := array.concat(sharing(family, addresses), _numbering(others)) if {
	found := of(family, addresses, others)
	count(found) > 0
	sum([cause.nodes | some cause in found]) >= nodes
} else := []

# METADATA
# description: The nodes that share an address, as objects at fault.
sharing(family, addresses) := objects.named(
	"Node",
	[name | some one in array.slice(addresses.sharedAddresses, 0, 3); some name in one.sample],
	[objects.annotation(sprintf("projectcalico.org/%sAddress", [family]))],
)

_numbering(others) := objects.named(
	"BGPPeer",
	[name | some one in array.slice(others.groups, 0, 3); some name in one.sample],
	["spec.asNumber"],
)

# METADATA
# description: The nodes that share an address, and the fix. Empty if there are none.
# scope: document
shared(family, addresses) := sprintf("%s; give each node its own address (annotation projectcalico.org/%sAddress)", [
	concat(", ", [_same(one) | some one in array.slice(addresses.sharedAddresses, 0, 3)]),
	family,
]) if {
	count(addresses.sharedAddresses) > 0
} else := ""

_same(one) := sprintf("nodes %s have the same address %s", [concat(" and ", one.sample), one.address]) if {
	one.nodes == 2
} else := sprintf("%s have the same address %s", [text.listed(one.nodes, "node", one.sample), one.address])

# METADATA
# description: The BGPPeers with another AS number than that of their peer, and the fix. Empty if there are none.
# scope: document
other_as_numbers(others) := concat("; ", [named(one) | some one in array.slice(others.groups, 0, 3)])

# METADATA
# description: BGPPeers with one AS number for nodes with another one, and the fix.
# scope: document
named(one) := sprintf("BGPPeer %s has asNumber %d, but the node at its peerIP has AS number %d; set asNumber: %d", [
	one.sample[0],
	one.asNumber,
	one.nodeASNumber,
	one.nodeASNumber,
]) if {
	one.bgpPeers == 1
} else := sprintf("BGPPeers %s have asNumber %d, but the nodes at their peerIP have AS number %d; set asNumber: %d", [
	text.list(one.sample, one.bgpPeers),
	one.asNumber,
	one.nodeASNumber,
	one.nodeASNumber,
])
