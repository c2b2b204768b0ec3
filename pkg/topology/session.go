package topology

// Ignored is a part of an object that Calico accepts through its API and then
// ignores or rejects.
type Ignored struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Message string `json:"message"` // begins with the field
}

// Roles of a group of nodes in a Graph.
const (
	RoleReflector = "reflector" // has a cluster ID and at least one session
	RoleClient    = "client"    // has a session to a reflector
	RoleMesh      = "mesh"      // has mesh sessions and none to a reflector
	RolePeer      = "peer"      // has other sessions only
	RoleIsolated  = "isolated"  // has a BGP address and no session
)

// Graph is a topology for drawing. Nodes with the same peering are one group, so its size
// depends on the number of kinds of nodes and not on the number of nodes.
type Graph struct {
	Groups    []Group         `json:"groups"`
	Externals []ExternalPeers `json:"externals"`
	Links     []Link          `json:"links"`
}

// Group is the nodes with the same peering.
type Group struct {
	ID        string   `json:"id"`
	Role      string   `json:"role"`
	Nodes     int      `json:"nodes"`
	Sample    []string `json:"sample"` // the first few, in order of names
	ASN       uint32   `json:"asn"`
	ClusterID string   `json:"clusterID,omitempty"`
	// Members are all nodes, in order of names.
	Members []string `json:"-"`
}

// ExternalPeers is one external peer or, if there are many, all of them.
type ExternalPeers struct {
	ID string `json:"id"`
	// Peers is the number of external peers. PeerIPs are the first few addresses.
	Peers   int      `json:"peers"`
	PeerIPs []string `json:"peerIPs"`
	// ASN is 0 if there are many external peers.
	ASN uint32 `json:"asn"`
}

// Kinds of a Link.
const (
	LinkMesh      = "mesh"
	LinkReflector = "reflector" // one side reflects routes to the other
	LinkPeer      = "peer"
	LinkExternal  = "external"
	LinkBroken    = "broken" // at least one half-session on which no session comes up
)

// Link is the sessions, or for LinkBroken the broken half-sessions, of one kind
// between two groups or between a group and an external peer. From and To are IDs. They
// are equal for sessions within a group.
type Link struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Kind     string   `json:"kind"`
	Sessions int      `json:"sessions"`
	Families []string `json:"families"`
	Sources  []string `json:"sources"`
}

// Pair is two nodes, in order of names.
type Pair [2]string
