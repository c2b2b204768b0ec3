//go:build system

package bird

import (
	"maps"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// toReflectors returns the usual BGPPeer: every node peers with the nodes that have the label.
func toReflectors() object {
	return peer("to-reflectors", spec{"nodeSelector": "all()", "peerSelector": "has(reflector)"})
}

// between returns a BGPPeer from the nodes of one selector to the nodes of another.
func between(name, local, remote string, more ...spec) object {
	s := spec{"nodeSelector": local, "peerSelector": remote}
	for _, m := range more {
		maps.Copy(s, m)
	}
	return peer(name, s)
}

var reflector = label("reflector", "")

// TestScenarios compares BIRD with the prediction in usual states of a cluster, and in states after known mistakes.
func TestScenarios(t *testing.T) {
	t.Parallel()
	manual := spec{"reversePeering": "Manual"}
	tests := map[string][]object{
		"a full mesh": nodes(1, 6),
		"a full mesh in which the addresses' order as text is another than as numbers": objects(nodes(8, 11), node(100)),
		"one reflector": objects(noMesh(), toReflectors(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 5)),
		"several reflectors of one cluster ID": objects(noMesh(), toReflectors(),
			nodes(1, 3, reflector, clusterID("244.0.0.1")), nodes(4, 7)),
		"reflectors of different cluster IDs": objects(noMesh(), toReflectors(),
			node(1, reflector, clusterID("244.0.0.1")), node(2, reflector, clusterID("244.0.0.2")), nodes(3, 6)),
		"two reflectors of different cluster IDs relay between their own clients": objects(noMesh(),
			node(1, label("rack", "a"), reflector, clusterID("244.0.0.1")), nodes(2, 3, label("rack", "a")),
			node(4, label("rack", "b"), reflector, clusterID("244.0.0.2")), nodes(5, 6, label("rack", "b")),
			between("a", "rack == 'a'", "rack == 'a' && has(reflector)"), between("b", "rack == 'b'", "rack == 'b' && has(reflector)"),
			between("reflectors", "has(reflector)", "has(reflector)")),
		"two reflectors of the same cluster ID don't": objects(noMesh(),
			node(1, label("rack", "a"), reflector, clusterID("244.0.0.1")), nodes(2, 3, label("rack", "a")),
			node(4, label("rack", "b"), reflector, clusterID("244.0.0.1")), nodes(5, 6, label("rack", "b")),
			between("a", "rack == 'a'", "rack == 'a' && has(reflector)"), between("b", "rack == 'b'", "rack == 'b' && has(reflector)"),
			between("reflectors", "has(reflector)", "has(reflector)")),
		"reflectors under a reflector": objects(noMesh(), node(1, label("tier", "top"), clusterID("244.0.0.1")),
			node(2, label("tier", "rack"), label("rack", "a"), clusterID("244.0.0.2")), nodes(3, 4, label("rack", "a"), label("tier", "leaf")),
			node(5, label("tier", "rack"), label("rack", "b"), clusterID("244.0.0.3")), nodes(6, 7, label("rack", "b"), label("tier", "leaf")),
			between("top", "tier == 'rack'", "tier == 'top'"),
			between("a", "rack == 'a' && tier == 'leaf'", "rack == 'a' && tier == 'rack'"),
			between("b", "rack == 'b' && tier == 'leaf'", "rack == 'b' && tier == 'rack'")),
		"an AS number for each rack": objects(noMesh(),
			nodes(1, 3, label("rack", "a"), asNumber(65001)), nodes(4, 6, label("rack", "b"), asNumber(65002)),
			between("a", "rack == 'a'", "rack == 'a'"), between("b", "rack == 'b'", "rack == 'b'"),
			between("racks", "rack == 'a'", "rack == 'b'")),
		"racks in a row, so that routes cross a rack": objects(noMesh(),
			node(1, label("rack", "a"), asNumber(65001)), node(2, label("rack", "b"), asNumber(65002)), node(3, label("rack", "c"), asNumber(65003)),
			node(4, label("rack", "d"), asNumber(65001)),
			between("ab", "rack == 'a'", "rack == 'b'"), between("bc", "rack == 'b'", "rack == 'c'"), between("cd", "rack == 'c'", "rack == 'd'")),
		"a rack that takes its own AS number back": objects(noMesh(), node(1, asNumber(65001)), node(2, asNumber(65002)), node(3, asNumber(65001)),
			peer("one", spec{"node": "node-1", "peerIP": "10.192.0.2", "asNumber": 65002, "numAllowedLocalASNumbers": 1}),
			peer("three", spec{"node": "node-3", "peerIP": "10.192.0.2", "asNumber": 65002})),
		"a mesh of nodes with and without an AS number of their own": objects(nodes(1, 3), nodes(4, 5, asNumber(65001)), version("v3.32.1")),
		"the same mesh before Calico 3.32":                           objects(nodes(1, 3), nodes(4, 5, asNumber(65001)), version("v3.31.0")),
		"a dual-stack mesh with nodes of one stack":                  objects(nodes(1, 3, dualStack), nodes(4, 5)),
		"dual-stack reflectors": objects(noMesh(), toReflectors(),
			nodes(1, 2, dualStack, reflector, clusterID("244.0.0.1")), nodes(3, 5, dualStack), node(6)),
		"a node of its own port in a cluster of another": objects(configuration(spec{"listenPort": 1790}), listensOn(2, 1791), nodes(1, 5)),
		"a peerIP with a port": objects(noMesh(), listensOn(1, 1790), nodes(1, 4),
			peer("one", spec{"nodeSelector": "all()", "peerIP": "10.192.0.1:1790", "asNumber": 64512})),
		"passwords, the same and others": objects(noMesh(), nodes(1, 2, label("rack", "a")), nodes(3, 4, label("rack", "b")), node(5, label("rack", "c")),
			between("same", "rack == 'a'", "rack == 'b'", spec{"password": secret("ab")}),
			between("there", "rack == 'c'", "rack == 'a'", manual, spec{"password": secret("there")}),
			between("back", "rack == 'a'", "rack == 'c'", manual, spec{"password": secret("back")}),
			between("with", "rack == 'c'", "rack == 'b'", manual, spec{"password": secret("with")}),
			between("without", "rack == 'b'", "rack == 'c'", manual)),
		"a mesh with a password":                           objects(configuration(spec{"nodeMeshPassword": secret("mesh")}), nodes(1, 4)),
		"a mesh and a BGPPeer to the same neighbours":      objects(nodes(1, 4), between("again", "all()", "has(again)"), node(5, label("again", ""))),
		"a reflector that lives from the mesh is isolated": objects(nodes(1, 4), node(5, clusterID("244.0.0.1"))),
		"a reflector in a mesh, with BGPPeers":             objects(nodes(1, 4), node(5, reflector, clusterID("244.0.0.1")), toReflectors()),
		"a reflector by its address, which is not known to be one": objects(noMesh(),
			node(1, clusterID("244.0.0.1")), node(2, clusterID("244.0.0.1")), nodes(3, 4),
			peer("one", spec{"node": "node-2", "peerIP": "10.192.0.1", "asNumber": 64512}),
			peer("two", spec{"node": "node-3", "peerIP": "10.192.0.1", "asNumber": 64512}),
			peer("three", spec{"node": "node-4", "peerIP": "10.192.0.2", "asNumber": 64512})),
		"a global BGPPeer to a node, of which one end waits": objects(noMesh(), nodes(1, 4),
			peer("two", spec{"peerIP": "10.192.0.2", "asNumber": 64512})),
		"a BGPPeer to a node of another AS number": objects(noMesh(), nodes(1, 3), node(4, asNumber(65001)),
			peer("four", spec{"peerIP": "10.192.0.4", "asNumber": 64512})),
		"a BGPPeer without a way back":       objects(noMesh(), nodes(1, 3), between("one-way", "all()", "has(one)", manual), node(4, label("one", ""))),
		"a BGPPeer to something outside":     objects(nodes(1, 3), peer("router", spec{"peerIP": "10.192.9.9", "asNumber": 65001})),
		"a BGPPeer without any peer":         objects(noMesh(), peer("empty", spec{}), nodes(1, 3), nodes(4, 5, dualStack)),
		"a local AS number":                  objects(noMesh(), nodes(1, 3), node(4, asNumber(65001)), peer("four", spec{"node": "node-4", "peerIP": "10.192.0.1", "asNumber": 64512, "localASNumber": 64512})),
		"a node that reflects to a next hop": objects(noMesh(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 4), between("self", "all()", "has(reflector)", spec{"nextHopMode": "Self"})),
		"timers of a BGPPeer":                objects(noMesh(), nodes(1, 3), between("timers", "all()", "all()", spec{"maxRestartTime": "10s", "keepaliveTime": "20s"})),
		"TTL security":                       objects(noMesh(), nodes(1, 3), between("ttl", "all()", "all()", spec{"ttlSecurity": 1})),
		"a BGPPeer without an AS number":     objects(nodes(1, 4), peer("no-as", spec{"node": "node-2", "peerIP": "10.192.9.9"})),
		"a cluster ID with a mask":           objects(noMesh(), toReflectors(), node(1, reflector, clusterID("244.0.0.0/8")), node(2, reflector, clusterID("244.0.0.1")), nodes(3, 5)),
		"two nodes with one address":         objects(nodes(1, 3), node(4, calicotest.IPv4("10.192.0.3"))),
		"a node of IPv6 alone":               objects(nodes(1, 3, dualStack), node(4, ipv6Only)),
		"nodes of AS 0":                      objects(nodes(1, 3), node(4, asNumber(0))),
	}
	for name, list := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, list)
			w.await(t, start(t, w.nodes, Options{}))
		})
	}
}

// TestChange compares BIRD with the prediction before and after changes, which reach all nodes at about the same time.
func TestChange(t *testing.T) {
	t.Parallel()
	members := objects(node(1, reflector, clusterID("244.0.0.1")), node(2, reflector, clusterID("244.0.0.2")), nodes(3, 6))
	tests := map[string][][]object{
		"from a mesh to reflectors, which are made first": {
			nodes(1, 6), objects(members, toReflectors()), objects(members, toReflectors(), noMesh()),
		},
		"from reflectors to a mesh": {objects(members, toReflectors(), noMesh()), nodes(1, 6)},
		"the label of the last reflector is removed": {
			objects(noMesh(), toReflectors(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 5)),
			objects(noMesh(), toReflectors(), node(1, clusterID("244.0.0.1")), nodes(2, 5)),
		},
		"the AS number of a cluster": {nodes(1, 4), objects(nodes(1, 4), configuration(spec{"asNumber": 65001}))},
	}
	for name, states := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, states[0])
			c := start(t, w.nodes, Options{})
			w.await(t, c)
			for _, list := range states[1:] {
				w = newWorld(t, list)
				if err := c.Reconfigure(t.Context(), w.nodes); err != nil {
					t.Fatal(err)
				}
				w.await(t, c)
			}
		})
	}
}
