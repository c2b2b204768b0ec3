package sessions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Rejection is a value that BIRD rejects in the configuration of some nodes. The rules are
// those of package calico.
type Rejection struct {
	Rule *calico.Rule
	// Field and Message are the path of the value, and what is wrong with it.
	Field, Message string
	// Object is the object with the value, the zero ID if Sources or Class tell.
	Object calico.ID
	// Link and Sources are the BGPPeers with the value, and the link of the half-session.
	// For an external peer, Peerings are the BGPPeers.
	Link     *Link
	Sources  []Source
	Peerings []*Peering
	// Class is the class of the Nodes with the value, NoClass if other objects have it.
	Class int
}

// NoClass means that the objects with a rejected value are not the Nodes of a class.
const NoClass = -1

// ObjectRejection is a rejected value of a BGPFilter, a BGPConfiguration or an external
// half-session, with all nodes on which Calico writes it.
type ObjectRejection struct {
	Rejection
	Nodes *bitset.BitSet
}

// written holds the values that BIRD rejects in the objects of a snapshot, without those that
// only half-sessions show.
type written struct {
	// byFamily are those of BGPFilters and BGPConfigurations.
	byFamily [2][]objectValue
	// advertising names the nodes whose own BGPConfigurations have prefixAdvertisements.
	advertising []string
	// passwords are the references, as "name/key", to passwords that BIRD rejects.
	passwords map[string]bool
	text      string // everything above, for comparing
}

// objectValue is a rejected value, and the node of a BGPConfiguration that applies to one node
// only, "" for all nodes.
type objectValue struct {
	calico.Rejected
	object calico.ID
	node   string
}

func newWritten(s *state.Snapshot) *written {
	w := &written{passwords: map[string]bool{}}
	var text strings.Builder
	for _, f := range calico.Families {
		add := func(o calico.Object, node string, list []calico.Rejected) {
			for _, r := range list {
				w.byFamily[f] = append(w.byFamily[f], objectValue{r, o.ID(), node})
				fmt.Fprintf(&text, "%d %s %q %q\n", f, o.ID(), r.Field, r.Message)
			}
		}
		for _, one := range s.BGPFilters() {
			add(one, "", one.Rejected(f))
			add(one, "", undecodable(one))
		}
		for _, one := range s.BGPConfigurations() {
			if node := one.NodeOf(); node != "" || one.Name == calico.Default {
				add(one, node, one.Rejected(f))
			}
			add(one, "", undecodable(one))
		}
		for _, one := range s.BGPPeers() {
			add(one, "", undecodable(one))
		}
		for _, one := range s.IPPools() {
			add(one, "", undecodable(one))
		}
	}
	for _, one := range s.BGPConfigurations() {
		if node := one.NodeOf(); node != "" && one.Advertises() {
			w.advertising = append(w.advertising, node)
		}
	}
	fmt.Fprintf(&text, "%q\n", w.advertising)
	for _, secret := range s.Secrets() {
		for _, key := range secret.Rejected {
			w.passwords[secret.Name+"/"+key] = true
			fmt.Fprintf(&text, "%q %q\n", secret.Name, key)
		}
	}
	w.text = text.String()
	return w
}

// undecodable returns the values of an object that Calico cannot decode. It then writes no file on
// any node.
func undecodable(o calico.Object) []calico.Rejected {
	var out []calico.Rejected
	for _, e := range calico.Odd(o) {
		out = append(out, calico.Rejected{Rule: calico.RejectUndecodable, Field: e.Field, Message: e.Message, On: calico.OnAll})
	}
	return out
}

// ExternalSide is half-sessions with one external peer or, if address is not set, with
// pods.
type ExternalSide struct {
	Variant
	address netip.Addr
}

// ExternalSides returns the half-sessions with the external peers in Counted, and with
// pods. O(variants + BGPPeers with pods as peers).
func (n *Network) ExternalSides() []ExternalSide {
	var out []ExternalSide
	for _, o := range n.Counted {
		for k := range o.Protocols {
			for _, v := range o.Protocols[k].Variants {
				out = append(out, ExternalSide{v, o.Address})
			}
		}
	}
	for _, p := range n.Workloads {
		out = append(out, ExternalSide{Variant: Variant{p.workloadSettings(), []*Peering{p}, p.Local.Intersection(n.Index.BGP[n.Family])}})
	}
	return out
}

// ObjectRejections returns the rejected values of BGPFilters, BGPConfigurations and BGPPeers
// that do not depend on the class of a node. O(external peers + rejected values), and O(nodes)
// for each of these.
func (n *Network) ObjectRejections() []ObjectRejection {
	var out []ObjectRejection
	speakers := n.Index.BGP[n.Family]
	for _, v := range n.written.byFamily[n.Family] {
		set := speakers
		switch v.On {
		case calico.OnAll:
		case calico.OnAdvertising:
			if v.node == "" {
				set = speakers.Difference(n.advertising())
			}
		case calico.OnReflectors:
			set = speakers.Intersection(n.Index.Reflectors)
		case calico.OnPeering:
			set = n.peering()
		}
		if v.node != "" {
			set = set.Intersection(n.Index.Named(v.node))
		}
		out = append(out, ObjectRejection{Rejection{Rule: v.Rule, Field: v.Field, Message: v.Message, Object: v.object, Class: NoClass}, set})
	}
	for _, o := range n.Externals {
		message := calico.RejectedPeer(o.Address)
		for k := range o.Protocols {
			for i := range o.Protocols[k].Variants {
				v := &o.Protocols[k].Variants[i]
				list := n.settingsRejections(nil, &v.Settings)
				if message != "" {
					list = append(list, rejectionOf(calico.RejectPeerIP, message))
				}
				for _, r := range list {
					r.Peerings = v.Sources
					out = append(out, ObjectRejection{r, v.Nodes})
				}
			}
		}
	}
	return append(out, n.gatewayRejections()...)
}

// rejectionOf returns the rejection of the field of a rule.
func rejectionOf(rule *calico.Rule, message string) Rejection {
	return Rejection{Rule: rule, Field: rule.Field, Message: message, Class: NoClass}
}

// advertising returns the nodes whose own BGPConfigurations have prefixAdvertisements.
func (n *Network) advertising() *bitset.BitSet {
	out := bitset.New(n.Index.Len())
	for _, name := range n.written.advertising {
		if i, ok := n.Index.Find(name); ok {
			out.Set(i)
		}
	}
	return out
}

// gatewayRejections returns the values of reachableBy that Calico also writes on nodes without
// the half-session: a global BGPPeer has a static route on every node, and a node has one to its
// own address (bird_aggr.cfg.template).
func (n *Network) gatewayRejections() []ObjectRejection {
	var out []ObjectRejection
	speakers := n.Index.BGP[n.Family]
	for _, g := range n.groups {
		message := calico.RejectedGateway(n.Family, g.Peer.ReachableBy)
		if message == "" {
			continue
		}
		if g.global() && g.Forward[n.Family] {
			for _, r := range g.Members {
				if r.remoteNodes.Meets(speakers) {
					out = append(out, gatewayRejection(message, r, speakers))
				}
			}
			continue
		}
		set := n.Classes.Union(func(class int) bool { return n.entersItself(g, uint32(class)) })
		if set == nil {
			continue
		}
		if len(g.Members) == 1 {
			out = append(out, gatewayRejection(message, g.Members[0], set))
			continue
		}
		for _, r := range g.Members { // Of these, only a member with the node on the varying side enters it.
			if own := g.varying(r); own.Meets(set) {
				out = append(out, gatewayRejection(message, r, own.Set.Intersection(set)))
			}
		}
	}
	return out
}

// gatewayRejection returns the rejection of the reachableBy of a peering on nodes.
func gatewayRejection(message string, r *Peering, nodes *bitset.BitSet) ObjectRejection {
	out := rejectionOf(calico.RejectReachableBy, message)
	out.Peerings = []*Peering{r}
	return ObjectRejection{out, nodes}
}

// entersItself reports whether Calico enters the address of the nodes of class c in their own
// tables of peers, with the settings of a peer group that is not global. Another node may have
// the same address.
func (n *Network) entersItself(g *PeerGroup, c uint32) bool {
	class := &n.Classes.List[c]
	if !class.Speaks(n.Family) {
		return false
	}
	at := class.First[:1]
	if n.SharesAddress(c) {
		at = n.Index.At(n.address(c))
	}
	in := func(set *bitset.BitSet) bool {
		return slices.ContainsFunc(at, func(node uint32) bool { return set.Test(uint(node)) })
	}
	forward := g.Forward[n.Family] && g.Local.Test(uint(class.First[0])) && in(g.Remote)
	reverse := g.Reverse[n.Family] && g.back.Test(uint(class.First[0])) && in(g.Local)
	if !forward && !reverse {
		return false
	}
	port := func(g *PeerGroup) uint16 {
		s := g.settingsFor(class, false)
		return portOr179(s.port)
	}
	return !slices.ContainsFunc(n.groups, func(o *PeerGroup) bool {
		earlier := o.global() || !forward && o.Local.Test(uint(class.First[0]))
		return earlier && o.Forward[n.Family] && in(o.Remote) && port(o) == port(g)
	})
}

// peering returns the nodes with at least one half-session in the family.
func (n *Network) peering() *bitset.BitSet {
	out := bitset.New(n.Index.Len())
	for _, o := range n.Externals {
		out.InPlaceUnion(o.Nodes)
	}
	if set := n.Classes.Union(func(g int) bool { return len(n.LinksFrom(uint32(g))) > 0 || n.hasMeshPeer(uint32(g)) }); set != nil {
		out.InPlaceUnion(set)
	}
	for _, p := range n.Workloads {
		out.InPlaceUnion(p.Local.Intersection(n.Index.BGP[n.Family]))
	}
	return out
}

// settingsRejections appends the rejected values of settings that do not depend on the class of a
// node, of a half-session that is not of the mesh.
func (n *Network) settingsRejections(out []Rejection, s *Settings) []Rejection {
	for _, c := range []struct {
		rule    *calico.Rule
		message string
	}{
		{calico.RejectRestartTime, rejectedTimer(s.Restart)}, {calico.RejectKeepaliveTime, rejectedTimer(s.keepalive)},
		{calico.RejectReachableBy, calico.RejectedGateway(n.Family, s.reachableBy)},
	} {
		if c.message != "" {
			out = append(out, rejectionOf(c.rule, c.message))
		}
	}
	return n.passwordRejections(out, s.password)
}

func rejectedTimer(seconds int) string {
	if seconds == Unset {
		return ""
	}
	return calico.RejectedSeconds(seconds)
}

// passwordRejections appends a rejected password, by its reference "name/key".
func (n *Network) passwordRejections(out []Rejection, reference string) []Rejection {
	if !n.written.passwords[reference] {
		return out
	}
	name, key, _ := strings.Cut(reference, "/")
	return append(out, Rejection{
		Rule: calico.RejectPassword, Field: fmt.Sprintf("data[%s]", key), Message: "contains a quotation mark or a line break",
		Object: calico.ID{Kind: calico.KindSecret, Name: name}, Class: NoClass,
	})
}

// Rejections returns the values that BIRD rejects on the nodes of class g because of the nodes
// themselves and of their half-sessions with other nodes. O(links of the class).
func (n *Network) Rejections(g uint32) []Rejection {
	s := &n.Classes.List[g]
	out := n.routerIDRejections(nil, g)
	if !s.Speaks(n.Family) {
		return out
	}
	list := n.LinksFrom(g)
	for i := range list {
		l := &list[i]
		for k := range l.Protocols {
			out = n.linkRejections(out, l, &l.Protocols[k])
		}
	}
	if n.InMesh(g) {
		out = n.meshRejections(out, g)
	}
	return out
}

// routerIDRejections appends a missing router ID of a node with an IPv6 address. Calico writes it
// into the files of both families. BIRD takes a router ID of 0 from the interfaces in IPv4 only. A
// cluster without IPv4 addresses sets CALICO_ROUTER_ID, which is in no object.
func (n *Network) routerIDRejections(out []Rejection, g uint32) []Rejection {
	s := &n.Classes.List[g]
	var message string
	switch {
	case !s.IPv6 || n.Index.BGP[calico.IPv4].None():
		return out
	case !s.IPv4:
		message = "is not an IPv4 address, and the router ID of the node is empty"
	case n.Family == calico.IPv6 && s.Unspecified[calico.IPv4]:
		message = "is unspecified, and the router ID of the node is 0"
	default:
		return out
	}
	r := rejectionOf(calico.RejectRouterID, message)
	r.Class = int(g)
	return append(out, r)
}

// linkRejections appends the rejections of the half-sessions h of link l.
func (n *Network) linkRejections(out []Rejection, l *Link, h *Protocol) []Rejection {
	own := &n.Classes.List[l.From]
	mesh := h.Prefix == PrefixMesh
	for i := range h.Ways {
		w := &h.Ways[i]
		if w.Settings.Local(own) == 0 {
			out = append(out, n.zeroOf(l.From))
		}
		if w.Settings.PeerASN == 0 && n.Classes.List[l.To].ASN == 0 {
			out = append(out, n.zeroOf(l.To))
		}
		out = n.clientRejections(out, &w.Settings, l.From, h.Prefix)
		if message := calico.RejectedPeer(n.address(l.To)); message != "" {
			out = append(out, n.addressRejection(l.To, message))
		}
		if mesh || !w.Settings.sourceNone {
			out = n.sourceRejections(out, l.From)
		}
		if mesh {
			out = n.meshSettingsRejections(out, &w.Settings)
			continue
		}
		first := len(out)
		if w.Settings.PeerASN == 0 && n.Classes.List[l.To].ASN != 0 {
			out = append(out, rejectionOf(calico.RejectPeerASNumber, "is 0 or missing"))
		}
		out = n.settingsRejections(out, &w.Settings)
		for k := range out[first:] {
			out[first+k].Link, out[first+k].Sources = l, w.Sources
		}
	}
	return out
}

// zeroOf returns the rejection of the AS number 0 of class g, which is in its Nodes or in the
// BGPConfiguration of the cluster.
func (n *Network) zeroOf(g uint32) Rejection {
	if n.Classes.List[g].OwnASN {
		r := rejectionOf(calico.RejectNodeASNumber, "is 0")
		r.Class = int(g)
		return r
	}
	return ofCluster(calico.RejectClusterASNumber, "is 0")
}

// ofCluster returns the rejection of a field of the BGPConfiguration of the cluster.
func ofCluster(rule *calico.Rule, message string) Rejection {
	r := rejectionOf(rule, message)
	r.Object = calico.ID{Kind: calico.KindBGPConfiguration, Name: calico.Default}
	return r
}

// clientRejections appends a cluster ID that BIRD rejects, of half-sessions of class g with a client.
func (n *Network) clientRejections(out []Rejection, s *Settings, g uint32, p Prefix) []Rejection {
	own := &n.Classes.List[g]
	if !s.client(own, p) {
		return out
	}
	if message := calico.RejectedClusterID(own.ClusterID); message != "" {
		r := rejectionOf(calico.RejectClusterID, message)
		r.Class = int(g)
		out = append(out, r)
	}
	return out
}

// sourceRejections appends the address of class g if it is link-local: a source address of a
// session with several hops must not be.
func (n *Network) sourceRejections(out []Rejection, g uint32) []Rejection {
	if a := n.address(g); linkLocal(a) {
		out = append(out, n.addressRejection(g, calico.RejectedPeer(a)))
	}
	return out
}

func (n *Network) addressRejection(g uint32, message string) Rejection {
	return Rejection{Rule: calico.RejectNodeAddress, Field: calico.AddressField(n.Family), Message: message, Class: int(g)}
}

// meshSettingsRejections appends the values that BIRD rejects in every mesh half-session.
func (n *Network) meshSettingsRejections(out []Rejection, s *Settings) []Rejection {
	if message := rejectedTimer(s.Restart); message != "" {
		out = append(out, ofCluster(calico.RejectMeshRestartTime, message))
	}
	return n.passwordRejections(out, s.password)
}

// ExternalRejections returns the values of Nodes and BGPConfigurations that BIRD rejects in the
// half-sessions u on nodes of class g, and an AS number 0 of their BGPPeers.
func (n *Network) ExternalRejections(u *ExternalSide, g uint32) []Rejection {
	own := &n.Classes.List[g]
	if !own.Speaks(n.Family) {
		return nil
	}
	var out []Rejection
	if u.Settings.Local(own) == 0 {
		out = append(out, n.zeroOf(g))
	}
	if u.Settings.PeerASN == 0 {
		r := rejectionOf(calico.RejectPeerASNumber, "is 0 or missing")
		r.Peerings = u.Sources
		out = append(out, r)
	}
	out = n.clientRejections(out, &u.Settings, g, PrefixNode)
	if u.address.IsValid() && !u.Settings.sourceNone {
		out = n.sourceRejections(out, g)
	}
	return out
}

// meshRejections appends the rejections of the mesh half-sessions of class g. It skips
// half-sessions on links.
func (n *Network) meshRejections(out []Rejection, g uint32) []Rejection {
	s := &n.Classes.List[g]
	if n.hasMeshPeer(g) {
		if s.ASN == 0 {
			out = append(out, n.zeroOf(g))
		}
		out = n.sourceRejections(out, g)
		out = n.meshSettingsRejections(out, &Settings{Restart: n.Rules.meshRestart, password: n.Rules.meshPassword})
	}
	for _, other := range n.suspects {
		if other == g && s.Nodes == 1 || n.SameAddress(g, other) {
			continue
		}
		if n.Classes.List[other].ASN == 0 && n.Rules.meshSettings(s, &n.Classes.List[other]).PeerASN == 0 {
			out = append(out, n.zeroOf(other))
		}
		if message := calico.RejectedPeer(n.address(other)); message != "" {
			out = append(out, n.addressRejection(other, message))
		}
	}
	for _, shared := range n.AddressSharers() {
		// Every node in the mesh without this address gets two protocols of one name.
		if n.InMesh(shared) && shared != g && !n.SameAddress(g, shared) && n.twiceInMesh(shared) {
			out = append(out, Rejection{
				Rule: calico.RejectSharedAddress, Field: calico.AddressField(n.Family), Class: int(shared),
				Message: fmt.Sprintf("%s is the address of several nodes, and their protocols have one name", n.address(shared)),
			})
		}
	}
	return out
}

// hasMeshPeer reports whether the nodes of class g have a mesh half-session. O(1), and O(nodes
// with the address) for an address of several nodes.
func (n *Network) hasMeshPeer(g uint32) bool {
	if !n.InMesh(g) {
		return false
	}
	own := 1
	if n.SharesAddress(g) {
		own = n.meshNodesAt(g)
	}
	return n.meshNodes > own
}

// twiceInMesh reports whether several nodes in the mesh have the address of a class.
func (n *Network) twiceInMesh(shared uint32) bool { return n.meshNodesAt(shared) > 1 }

// meshNodesAt counts the nodes in the mesh with the address of a class that shares it.
func (n *Network) meshNodesAt(shared uint32) int {
	count := 0
	for _, node := range n.Index.At(n.address(shared)) {
		if n.InMesh(n.Classes.Of[node]) {
			count++
		}
	}
	return count
}

// RejectedValues lists the objects that have the value of a rejection on a node of the class for
// which Rejections returned it, with their fields.
func (n *Network) RejectedValues(r *Rejection, node int) []RejectedValue {
	value := func(kind calico.Kind, name string) RejectedValue {
		return RejectedValue{Kind: string(kind), Name: name, Field: r.Field, Message: r.Message, Reason: r.Rule.Reason}
	}
	var out []RejectedValue
	switch {
	case r.Object != calico.ID{}:
		out = append(out, value(r.Object.Kind, r.Object.Name))
	case r.Class != NoClass && int(n.Classes.Of[node]) == r.Class:
		out = append(out, value(calico.KindNode, n.Index.Nodes[node].Name))
	case r.Class != NoClass:
		for _, i := range n.Classes.List[r.Class].First {
			out = append(out, value(calico.KindNode, n.Index.Nodes[i].Name))
		}
	case r.Link != nil:
		for _, p := range n.giving(r.Link, r.Sources, node) {
			out = append(out, value(calico.KindBGPPeer, p.Peer.Name))
		}
	default:
		for _, p := range r.Peerings {
			if p.Local.Test(uint(node)) || p.back.Test(uint(node)) {
				out = append(out, value(calico.KindBGPPeer, p.Peer.Name))
			}
		}
	}
	return out
}

// giving returns the BGPPeers of sources that configure the half-sessions of a node on link l.
func (n *Network) giving(l *Link, sources []Source, node int) []*Peering {
	var out []*Peering
	for _, s := range sources {
		switch {
		case len(s.Members) == 1 || !s.Far:
			out = append(out, s.between(uint(node), uint(node))...)
		default:
			n.Spreads.Among(s, l.From, l.To, func(p *Peering, _ uint32) bool {
				if s.varying(p).Some(func(j uint32) bool { return n.Classes.Of[j] == l.To && int(j) != node }) {
					out = append(out, p)
				}
				return true
			})
		}
	}
	return out
}

// SortRejected sorts values by object and field, and removes duplicates.
func SortRejected(list []RejectedValue) []RejectedValue {
	slices.SortFunc(list, RejectedValue.compare)
	return slices.Compact(list)
}

func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }
