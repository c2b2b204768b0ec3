# Links of nodes that are not known.
package policies.reachability_preserved_test

test_fail_nodes_may_have_no_common_link if {
	patch := _linked(_two_isolated)
	_violations(patch) == set()
	some violation in _assuming(patch, [], _no_link)
	violation.id == "IPv4/without-route"
	violation.msg == concat("", [
		"isolated nodes: 2 of 10 nodes (node-8, node-9) cannot exchange IPv4 pod traffic with other nodes; connect ",
		"them to other nodes with a BGPPeer, for example to route reflectors, or turn the node-to-node mesh on; ",
		"up to Calico v3.32, BIRD opens mesh sessions between AS numbers only on a common link: replace the mesh by ",
		"BGPPeers, upgrade Calico to v3.33, give the nodes one AS number, or write the masks of their interfaces into ",
		"the annotations projectcalico.org/IPv4Address if the nodes are on one link (if the sessions come up, 0 pairs ",
		"without routes)",
	])
}

test_fail_the_version_may_need_a_common_link if {
	some violation in _assuming(object.union(_linked(_two_isolated), {"calicoVersion": null}), [], _no_link)
	contains(violation.msg, "; the version of Calico is not known, and up to Calico v3.32, BIRD opens mesh sessions ")
}

# Each reading of external peers has one without links.
test_fail_links_and_external_peers_may_both_be_missing if {
	violations := [violation |
		some violation in _found(_linked(_two_isolated), [])
		not endswith(violation.assumption, ", and disabled IPPools hold addresses of pods")
	]
	{violation.assumption | some violation in violations} == {
		_no_link,
		sprintf("%s, and external peers do not pass routes on between nodes", [_no_link]),
		sprintf("%s, and external peers keep AS paths and set their own address as next hop", [_no_link]),
	}
	{violation.assumption | some violation in violations; violation.advisory} == {sprintf(
		"%s, and external peers keep AS paths and set their own address as next hop",
		[_no_link],
	)}
}

test_fail_links_make_no_difference if {
	some message in _messages(_ipv4(_two_isolated))
	{violation.msg | some violation in _assuming(_ipv4(_two_isolated), [], _no_link)} == {message}
}

test_success_known_transit_peers_replace_links if {
	connected := _reach({})
	known := [{"transitPeers": ["tor"], "reach": connected}]
	without := {"withTransit": connected, "withoutTransit": _two_isolated, "withASPaths": connected, "knownTransit": known}
	_found({"routes": {"IPv4": {"withoutLinks": without}}}, ["tor"]) == set()
	some violation in _found({"routes": {"IPv4": {"withoutLinks": without}}}, [])
	violation.assumption == sprintf("%s, and external peers do not pass routes on between nodes", [_no_link])
}

_no_link := "mesh sessions between AS numbers need a common link, and nodes with /32 or /128 addresses are on none"

_linked(reach) := {"routes": {"IPv4": {"withoutLinks": {
	"withTransit": reach,
	"withoutTransit": reach,
	"withASPaths": reach,
	"knownTransit": [],
}}}}
