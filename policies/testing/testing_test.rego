# METADATA
# title: Input for tests
# description: |
#   The summary of a small cluster without violations, which the tests of policies patch. It has 3
#   route reflectors and 7 other nodes. BGPPeer to-reflectors gives these nodes sessions to all
#   route reflectors. The mesh is off, and all addresses are IPv4.
package policies.testing_test

# METADATA
# description: The input with the good state, patched with object.union.
input_with(patch, parameters) := {
	"state": object.union(_good, patch),
	"parameters": parameters,
	"now": 1767225600000000000,
}

_good := {
	"calicoVersion": "3.32.1",
	"nodes": {"total": 10, "bgp": 10, "reflectors": 3, "notReady": _no_nodes},
	"bgp": {"enabled": true, "installation": null, "deleting": false},
	"addresses": {"IPv4": _fine_addresses, "IPv6": _fine_addresses},
	"otherASNumbers": {"IPv4": {"nodes": 0, "groups": []}, "IPv6": {"nodes": 0, "groups": []}},
	"mesh": {"enabled": false, "source": "set", "nodes": 7, "sessionsPerNode": 0, "sessions": 0, "notReady": _no_nodes},
	"reflectors": {
		"IPv4": _three_reflectors,
		"IPv6": {
			"total": 0,
			"peered": 0,
			"notReady": _no_nodes,
			"nodes": 0,
			"bgpPeers": [],
			"levels": [],
			"reflecting": [],
			"load": [],
		},
	},
	"sessions": {
		"IPv4": object.union(_no_sessions, {"total": 21, "most": 7, "mostNode": "node-1", "load": [_three_sessions]}),
		"IPv6": _no_sessions,
	},
	"routes": {
		"IPv4": _routes(_all_reached),
		"IPv6": _routes(_none_there),
	},
	"serviceRanges": {"IPv4": [], "IPv6": []},
	"convergence": {
		"start": {"seconds": 12, "reason": "connect delay"},
		"waiting": _no_nodes,
		"reflectorCrash": {"seconds": 0, "reason": "routes are kept"},
		"reflectorStop": {"seconds": 0, "reason": "others are left"},
		"reflectorSilence": {"seconds": 0, "reason": "others are left"},
	},
	"podTraffic": {
		"IPv4": {"needsBGP": true, "pools": ["default-ipv4-ippool"], "disabledPools": []},
		"IPv6": {"needsBGP": false, "pools": [], "disabledPools": []},
	},
	"podAddresses": {
		"known": false,
		"withoutPool": {"IPv4": {"blocks": 0, "sample": []}, "IPv6": {"blocks": 0, "sample": []}},
	},
	"clusterRoutes": _bird_programs,
	"timers": {
		"restartTime": [{"seconds": 120, "scope": "nodes", "sessions": 21, "objects": [_to_reflectors]}],
		"keepaliveTime": [{"seconds": 80, "scope": "nodes", "sessions": 21, "objects": [_to_reflectors]}],
		"nodeMeshMaxRestartTime": {"set": false, "seconds": null},
	},
	"selectors": {"labels": [], "unused": [], "wide": {"IPv4": [], "IPv6": []}},
	"bgpPeers": {},
	"bgpConfigurations": {},
	"ipPools": {},
	"felixConfigurations": {},
	"clusterInformations": {},
	"bgpFilters": {"known": false, "names": [], "objects": {}},
	"secrets": {"known": false, "keys": {}},
	"typha": {"installed": null, "dropped": {}},
}

_three_reflectors := {
	"total": 3,
	"peered": 3,
	"notReady": _no_nodes,
	"nodes": 7,
	"bgpPeers": ["to-reflectors"],
	"levels": [{
		"reflectors": 3,
		"nodes": 7,
		"sample": ["node-4", "node-5", "node-6"],
		"members": "reflectors/3",
	}],
	"reflecting": [{"reflectors": 2, "nodes": 3, "members": "reflectors/2"}],
	"load": [{
		"sessions": 7,
		"nodes": 3,
		"sample": ["node-1", "node-2", "node-3"],
		"members": "reflectors/7",
	}],
}

_bird_programs := {
	"ipip": {"felix": false, "bird": true, "pools": []},
	"noEncap": {"felix": false, "bird": true, "pools": ["default-ipv4-ippool"]},
	"setting": {"felix": "Disabled", "bird": "Enabled"},
	"otherNodes": [],
	"otherPriorities": {"IPv4": [], "IPv6": []},
	"version": "3.32",
}

# METADATA
# description: What the BGPPeers select if to-reflectors is the only one.
selectors := {
	"labels": ["rr"],
	"unused": [],
	"wide": {
		"IPv4": [{"name": "to-reflectors", "fields": ["spec.nodeSelector", "spec.peerSelector"]}],
		"IPv6": [],
	},
}

# METADATA
# description: The summary of BGPPeer to-reflectors, for tests of policies that read it.
to_reflectors := {
	"name": "to-reflectors",
	"labels": {},
	"annotations": {},
	"spec": {"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"},
	"problems": [],
	"scope": "nodes",
	"address": null,
	"port": null,
	"asNumber": null,
	"localNodes": 7,
	"externalSessions": 0,
	"remoteNodes": 3,
	"sessions": 21,
	"restartTimeSeconds": 120,
	"keepaliveTimeSeconds": 80,
	"selectors": [
		{"field": "spec.nodeSelector", "text": "!has(rr)", "error": null, "labels": ["rr"], "nodes": 7},
		{"field": "spec.peerSelector", "text": "has(rr)", "error": null, "labels": ["rr"], "nodes": 3},
	],
	"selects": ["spec.nodeSelector", "spec.peerSelector"],
}

_to_reflectors := {"kind": "BGPPeer", "name": "to-reflectors", "set": false, "sessions": 21}

_fine_addresses := {
	"shared": _no_nodes,
	"sharedAddresses": [],
	"misdetected": _no_nodes,
	"misdetectedAddresses": [],
	"subnets": {
		"subnets": 1,
		"sample": ["192.0.2.0/24"],
		"same": 45,
		"different": 0,
		"uneven": 0,
		"wider": _no_nodes,
		"unadvertised": [],
	},
}

_no_nodes := {"nodes": 0, "sample": [], "members": "none"}

_three_sessions := {
	"sessions": 3,
	"nodes": 7,
	"sample": ["node-4", "node-5", "node-6"],
	"members": "sessions/3",
}

_no_sessions := {
	"total": 0,
	"external": 0,
	"most": 0,
	"mostNode": null,
	"load": [],
	"broken": 0,
	"brokenReasons": {},
	"ambiguous": {
		"halfSessions": 0,
		"nodes": 0,
		"sample": [],
		"members": "none",
		"bgpPeers": [],
		"fields": [],
	},
	"conflicting": {
		"halfSessions": 0,
		"nodes": 0,
		"sample": [],
		"members": "none",
		"bgpPeers": [],
		"fields": [],
	},
	"frozen": _no_nodes,
	"frozenReasons": [],
}

_all_reached := {
	"nodes": 10,
	"partitions": 1,
	"largestPartition": 10,
	"isolated": _no_nodes,
	"withoutRoute": {"pairs": 0, "sample": [], "members": "none"},
	"newBlocks": {"pairs": 0, "sample": [], "members": "none"},
	"singlePoints": [],
}

_none_there := object.union(_all_reached, {"nodes": 0, "partitions": 0, "largestPartition": 0})

_routes(reach) := {
	"withTransit": reach,
	"withoutTransit": reach,
	"withASPaths": reach,
	"knownTransit": [],
	"withoutLinks": null,
	"noAddress": _no_nodes,
	"notExported": [],
	"exportDisabledBy": [],
	"bgpPeers": ["to-reflectors"],
	"filtered": [],
}
