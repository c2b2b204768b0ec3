# METADATA
# title: BGP addresses that other nodes can reach
# description: |
#   Finds nodes whose BGP address is probably that of the wrong interface, for example of a
#   container bridge: the status of the Node does not contain the address, and no other node
#   has an address in the same subnet.
#
#   calico-node detects its address when it starts, by default on the first valid interface.
#   Other nodes cannot connect to the address of a bridge, so the node has no sessions,
#   although all objects look right. This is a frequent cause of "BGP not established".
# related_resources:
#   - ref: https://github.com/bgpguard/bgpguard/blob/main/docs/policies/address-autodetection.md
#     description: bgpguard, address-autodetection
#   - ref: https://docs.tigera.io/calico/latest/networking/ipam/ip-autodetection
#     description: Calico, IP autodetection
#   - ref: https://docs.tigera.io/calico/latest/reference/configure-calico-node
#     description: Calico, environment variables of calico-node
# schemas:
#   - input: schema.input
# custom:
#   severity: medium
#   judges: state
#   validationActions: [Warn]
#   exampleMessage: |
#     BGP addresses that other nodes probably cannot reach: 1 of 10 nodes (node-9 has 172.17.0.1, its
#     InternalIP is 10.20.0.99); set the autodetection method of calico-node to the nodes' network, for
#     example IP_AUTODETECTION_METHOD=kubernetes-internal-ip
#   remediation: |
#     1. Set the autodetection method of calico-node: `nodeAddressAutodetectionV4` of the operator's
#        Installation, or the variable `IP_AUTODETECTION_METHOD` (`IP6_AUTODETECTION_METHOD`). With
#        `kubernetes-internal-ip` it uses the InternalIP of the Node; `cidr=` and `interface=` select a
#        network of its own for BGP.
#     2. calico-node then writes the new address when it restarts.
#     3. You can ignore the warning if the address is one of the node's that its status does not list,
#        and routers lead to it.
#   parameters:
#     type: object
#     additionalProperties: false
package policies.address_autodetection

import data.policies.lib.text

# METADATA
# description: Nodes with such an address in one family. The size is their number.
violation contains {
	"id": family,
	"size": wrong.nodes,
	"members": [wrong.members],
	"msg": concat("", [
		"BGP addresses that other nodes probably cannot reach: ",
		text.listed_of(wrong.nodes, input.state.nodes.bgp, "node", described),
		"; set the autodetection method of calico-node to the nodes' network, ",
		sprintf("for example %s=kubernetes-internal-ip", [_variable(family)]),
	]),
	"details": {
		"family": family,
		"nodes": wrong.nodes,
		"addresses": addresses,
	},
	"objects": [{"kind": "Node", "name": name} | some name in wrong.sample],
} if {
	some family in ["IPv4", "IPv6"]
	wrong := input.state.addresses[family].misdetected
	wrong.nodes > 0
	addresses := input.state.addresses[family].misdetectedAddresses
	described := [_described(one) | some one in addresses]
}

_described(one) := sprintf("%s has %s", [one.node, one.address]) if one.internalIP == null

_described(one) := sprintf("%s has %s, its InternalIP is %s", [one.node, one.address, one.internalIP]) if {
	one.internalIP != null
}

_variable("IPv4") := "IP_AUTODETECTION_METHOD"

_variable("IPv6") := "IP6_AUTODETECTION_METHOD"
