package topology

import (
	"maps"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// comparison matches the nodes of two topologies. Nodes that were in one class and are
// in one class, with their addresses unchanged, form one cell: what holds for the sessions of
// one of its nodes holds for all.
type comparison struct {
	now, before *Topology
	// numbersWas is, for each node of now, its number in before, and numbersIs the reverse; -1
	// is none. They are nil if both topologies have the same nodes; see numberWas.
	numbersWas, numbersIs []int32
	cells                 []cell
	cellOf                []uint32   // of each node of now
	cellWas               []uint32   // of each node of before
	byIs                  [][]uint32 // cells of each class of now
	byWas                 [][]uint32
	// sameNodes reports that a node has the same number in both.
	sameNodes bool
	touched   []bool         // of each cell: a session between nodes differs
	outsideOf *bitset.BitSet // nodes of now for which a session with an external peer or pods differs
	departed  *bitset.BitSet // the same of before, for nodes that are gone
	peers     map[string]bool
	idle      *bitset.BitSet // nodes of now with sessions before and after, of which none stays up
}

// cell is the nodes of one class before and one class now.
type cell struct {
	was, is int32 // classes; -1 for nodes that do not exist
	// moved reports that an address of the nodes differs. All their sessions are reset.
	moved bool
	nodes int
}

// newComparison matches the nodes. O(nodes).
func newComparison(now, before *Topology) *comparison {
	c := &comparison{now: now, before: before, peers: map[string]bool{}}
	is, was := now.index.Nodes, before.index.Nodes
	if slices.Equal(is, was) {
		c.matchClasses()
	} else {
		c.matchNodes()
	}
	c.touched = make([]bool, len(c.cells))
	c.outsideOf, c.departed, c.idle = bitset.New(uint(len(is))), bitset.New(uint(len(was))), bitset.New(uint(len(is)))
	return c
}

// numberWas returns the number in before of a node of now, -1 for none.
func (c *comparison) numberWas(i int) int {
	if c.numbersWas == nil {
		return i
	}
	return int(c.numbersWas[i])
}

// numberIs returns the number now of a node of before, -1 for none.
func (c *comparison) numberIs(k int) int {
	if c.numbersIs == nil {
		return k
	}
	return int(c.numbersIs[k])
}

// matchClasses matches the classes of the same nodes. Where no class of before was divided or no two were united, the
// division of one side is that into cells.
func (c *comparison) matchClasses() {
	is, was := c.now.sessions.Classes, c.before.sessions.Classes
	c.sameNodes = true
	c.byIs, c.byWas = make([][]uint32, len(is.List)), make([][]uint32, len(was.List))
	find := func(class, classWas uint32) int {
		return slices.IndexFunc(c.byIs[class], func(k uint32) bool { return c.cells[k].was == int32(classWas) })
	}
	for i, class := range is.Of {
		classWas := was.Of[i]
		if at := find(class, classWas); at >= 0 {
			c.cells[c.byIs[class][at]].nodes++
			continue
		}
		k := uint32(len(c.cells))
		c.byIs[class], c.byWas[classWas] = append(c.byIs[class], k), append(c.byWas[classWas], k)
		c.cells = append(c.cells, cell{was: int32(classWas), is: int32(class), nodes: 1})
	}
	switch len(c.cells) { // Cells are in order of their first nodes, as classes are.
	case len(is.List):
		c.cellOf = is.Of
	case len(was.List):
		c.cellOf = was.Of
	default:
		c.cellOf = make([]uint32, len(is.Of))
		for i, class := range is.Of {
			c.cellOf[i] = c.byIs[class][find(class, was.Of[i])]
		}
	}
	c.cellWas = c.cellOf
}

// matchNodes matches the nodes by their names.
func (c *comparison) matchNodes() {
	is, was := c.now.index.Nodes, c.before.index.Nodes
	classes, classesBefore := c.now.sessions.Classes, c.before.sessions.Classes
	c.cellOf, c.cellWas = make([]uint32, len(is)), make([]uint32, len(was))
	c.numbersWas, c.numbersIs = make([]int32, len(is)), make([]int32, len(was))
	c.byIs, c.byWas = make([][]uint32, len(classes.List)), make([][]uint32, len(classesBefore.List))
	put := func(one cell) uint32 {
		list := &c.byIs
		at := one.is
		if at < 0 {
			list, at = &c.byWas, one.was
		}
		for _, k := range (*list)[at] {
			if e := &c.cells[k]; e.was == one.was && e.is == one.is && e.moved == one.moved {
				e.nodes++
				return k
			}
		}
		k := uint32(len(c.cells))
		one.nodes = 1
		c.cells = append(c.cells, one)
		if one.is >= 0 {
			c.byIs[one.is] = append(c.byIs[one.is], k)
		}
		if one.was >= 0 {
			c.byWas[one.was] = append(c.byWas[one.was], k)
		}
		return k
	}
	k := 0
	leave := func() {
		c.numbersIs[k] = -1
		c.cellWas[k] = put(cell{was: int32(classesBefore.Of[k]), is: -1})
		k++
	}
	for i, n := range is {
		for k < len(was) && was[k] != n && was[k].Name < n.Name {
			leave()
		}
		one := cell{was: -1, is: int32(classes.Of[i])}
		c.numbersWas[i] = -1
		same := k < len(was) && (was[k] == n || was[k].Name == n.Name)
		if same {
			c.numbersWas[i], c.numbersIs[k] = int32(k), int32(i)
			one.was, one.moved = int32(classesBefore.Of[k]), was[k] != n && was[k].Address != n.Address && moved(was[k], n)
		}
		c.cellOf[i] = put(one)
		if same {
			c.cellWas[k] = c.cellOf[i]
			k++
		}
	}
	for k < len(was) {
		leave()
	}
	c.sameNodes = len(is) == len(was) && !slices.Contains(c.numbersIs, -1)
}

// moved reports whether an address of a node differs. The IPv4 address is also the
// router ID of both daemons (bird.cfg.template), so it resets the sessions of both
// families.
func moved(was, is *calico.Node) bool {
	return slices.ContainsFunc(calico.Families[:], func(f calico.Family) bool { return was.Address[f].Addr() != is.Address[f].Addr() })
}

// compare sets the numbers of sessions and nodes of out.
func (c *comparison) compare(out *Impact) {
	for _, f := range calico.Families {
		one := familyComparison{comparison: c, now: c.now.networks[f], before: c.before.networks[f]}
		one.compare(out)
	}
	for i, k := range c.cellOf {
		if c.touched[k] || c.outsideOf.Test(uint(i)) {
			out.Nodes++
		}
	}
	for k, cell := range c.cellWas {
		if c.numberIs(k) < 0 && (c.touched[cell] || c.departed.Test(uint(k))) {
			out.Nodes++
		}
	}
	out.ExternalPeers, out.Interruption.Nodes = len(c.peers), int(c.idle.Count())
}

// familyComparison compares the sessions of one family.
type familyComparison struct {
	*comparison
	now, before *network
	// was and is count the sessions before and now, bothWas and bothIs those in both, by
	// their kind before and now. Of these, reset are reset and kept are not.
	was, is, bothWas, bothIs, reset, kept Kinds
	switched                              int
	// had, has and stays count, for each cell, the sessions of each of its nodes with other nodes.
	had, has, stays []int
	// hadOutside, hasOutside and staysOutside are the nodes of now with such sessions with
	// external peers or pods.
	hadOutside, hasOutside, staysOutside *bitset.BitSet
}

func (c *familyComparison) compare(out *Impact) {
	n := len(c.cells)
	c.had, c.has, c.stays = make([]int, n), make([]int, n), make([]int, n)
	size := uint(len(c.cellOf))
	c.hadOutside, c.hasOutside, c.staysOutside = bitset.New(size), bitset.New(size), bitset.New(size)
	c.compareNodes()
	c.compareExternals()
	c.compareWorkloads()
	c.kept.External = c.bothIs.External - c.reset.External
	added, removed := c.is.minus(c.bothIs), c.was.minus(c.bothWas)
	out.Added, out.Removed = out.Added.plus(added), out.Removed.plus(removed)
	out.Reset, out.Kept = out.Reset.plus(c.reset), out.Kept.plus(c.kept)
	out.Switched += c.switched
	if added.Total()+c.reset.Total() == 0 || removed.Total()+c.reset.Total() == 0 {
		return // What stays up has the routes before, or those after the change.
	}
	out.Interruption.Seconds, out.Interruption.AtWorst = resetUsual, resetAtWorst
	for i, k := range c.cellOf {
		at := uint(i)
		if (c.had[k] > 0 || c.hadOutside.Test(at)) && (c.has[k] > 0 || c.hasOutside.Test(at)) && c.stays[k] == 0 && !c.staysOutside.Test(at) {
			c.idle.Set(at)
		}
	}
}

func (k Kinds) plus(o Kinds) Kinds {
	return Kinds{k.Mesh + o.Mesh, k.Reflector + o.Reflector, k.External + o.External}
}

func (k Kinds) minus(o Kinds) Kinds {
	return Kinds{k.Mesh - o.Mesh, k.Reflector - o.Reflector, k.External - o.External}
}

// between returns the number of sessions between nodes, of the mesh or of BGPPeers.
func between(k *Kinds, mesh bool) *int {
	if mesh {
		return &k.Mesh
	}
	return &k.Reflector
}

// compareNodes compares the sessions between nodes. It visits the pairs of cells that
// a link connects before or now, and counts the other sessions of the mesh by a formula.
func (c *familyComparison) compareNodes() {
	m := c.newMeshComparison()
	each(c.now, c.byIs, func(a, b uint32) { c.pair(m, a, b) })
	each(c.before, c.byWas, func(a, b uint32) {
		if !linked(c.now, c.cells[a].is, c.cells[b].is) {
			c.pair(m, a, b)
		}
	})
	sharers(c.now, c.cellOf, func(a, b uint32) {
		if !linked(c.before, c.cells[a].was, c.cells[b].was) {
			c.pair(m, a, b)
		}
	})
	sharers(c.before, c.cellWas, func(a, b uint32) {
		x, y := &c.cells[a], &c.cells[b]
		if !linked(c.now, x.is, y.is) && !(x.is >= 0 && y.is >= 0 && c.now.SameAddress(uint32(x.is), uint32(y.is))) {
			c.pair(m, a, b)
		}
	})
	m.count(c)
}

// each calls visit with each pair of cells that a link of n connects, once.
func each(n *network, byClass [][]uint32, visit func(a, b uint32)) {
	for i := range n.Links {
		l := &n.Links[i]
		if l.From > l.To {
			continue
		}
		list := byClass[l.To]
		for x, a := range byClass[l.From] {
			if l.From == l.To {
				list = byClass[l.To][x:]
			}
			for _, b := range list {
				visit(a, b)
			}
		}
	}
}

// linked reports whether each visits the cells of two classes; -1 is no class.
func linked(n *network, a, b int32) bool {
	return a >= 0 && b >= 0 && n.Link(uint32(min(a, b)), uint32(max(a, b))) != nil
}

// sharers calls visit with the cells of each pair of nodes that have the same address.
// There is no link between them, and no session.
func sharers(n *network, cellOf []uint32, visit func(a, b uint32)) {
	shared := n.Index.Shared(n.Family)
	for i, ok := shared.NextSet(0); ok; i, ok = shared.NextSet(i + 1) {
		for _, j := range n.Index.At(n.Index.Nodes[i].Address[n.Family].Addr()) {
			if uint(j) > i {
				visit(cellOf[i], cellOf[j])
			}
		}
	}
}

// pair compares the sessions between the nodes of two cells, which may be one cell.
func (c *familyComparison) pair(m *meshComparison, a, b uint32) {
	x, y := &c.cells[a], &c.cells[b]
	ofA, ofB := y.nodes, x.nodes // peers of each node
	pairs := x.nodes * y.nodes
	if a == b {
		ofA--
		ofB, pairs = 0, x.nodes*ofA/2
	}
	if pairs == 0 {
		return
	}
	m.visited(a, b, ofA)
	if a != b {
		m.visited(b, a, ofB)
	}
	var had, has, hadMesh, hasMesh, reset bool
	if x.was >= 0 && y.was >= 0 {
		had, hadMesh = c.before.Peered(uint32(x.was), uint32(y.was))
	}
	if x.is >= 0 && y.is >= 0 {
		has, hasMesh = c.now.Peered(uint32(x.is), uint32(y.is))
	}
	if had {
		*between(&c.was, hadMesh) += pairs
		c.had[a] += ofA
		c.had[b] += ofB
	}
	if has {
		*between(&c.is, hasMesh) += pairs
		c.has[a] += ofA
		c.has[b] += ofB
	}
	if had && has {
		*between(&c.bothWas, hadMesh) += pairs
		*between(&c.bothIs, hasMesh) += pairs
		reset = x.moved || y.moved || c.now.Resets(uint32(x.is), uint32(y.is), c.before.Network, uint32(x.was), uint32(y.was))
		if reset {
			*between(&c.reset, hasMesh) += pairs
		} else {
			*between(&c.kept, hasMesh) += pairs
			c.stays[a] += ofA
			c.stays[b] += ofB
		}
		if reset && hadMesh != hasMesh {
			c.switched += pairs
		}
	}
	if had != has || reset {
		c.touched[a], c.touched[b] = true, true
	}
}

// meshComparison compares the sessions that only the mesh configures, before and now.
type meshComparison struct {
	kinds []meshKind
	sizes []int   // nodes of each kind
	of    []int   // kind of each cell, -1 for one that was and is not in the mesh
	seen  [][]int // of each cell, the peers of each kind that pair has visited; nil for none
}

// meshKind is what decides the sessions of a cell in the mesh.
type meshKind struct {
	was, is int  // kind of the class in the mesh, -1 if it is not in it
	changed bool // all sessions in both are reset
}

func (c *familyComparison) newMeshComparison() *meshComparison {
	m := &meshComparison{of: make([]int, len(c.cells)), seen: make([][]int, len(c.cells))}
	same := c.now.Rules.SameMesh(&c.before.Rules)
	for i := range c.cells {
		x := &c.cells[i]
		one := meshKind{-1, -1, x.moved || !same}
		if x.was >= 0 {
			one.was = c.before.MeshKind(uint32(x.was))
		}
		if x.is >= 0 {
			one.is = c.now.MeshKind(uint32(x.is))
		}
		m.of[i] = -1
		if one.was < 0 && one.is < 0 {
			continue
		}
		if one.was >= 0 && one.is >= 0 {
			was, is := &c.before.Classes.List[x.was], &c.now.Classes.List[x.is]
			one.changed = one.changed || was.ASN != is.ASN || !sessions.SamePort(was, is)
		}
		k := slices.Index(m.kinds, one)
		if k < 0 {
			k = len(m.kinds)
			m.kinds, m.sizes = append(m.kinds, one), append(m.sizes, 0)
		}
		m.of[i] = k
		m.sizes[k] += x.nodes
	}
	return m
}

// visited adds peers in cell b to those that pair has visited for cell a.
func (m *meshComparison) visited(a, b uint32, peers int) {
	if m.of[b] < 0 {
		return
	}
	if m.seen[a] == nil {
		m.seen[a] = make([]int, len(m.kinds))
	}
	m.seen[a][m.of[b]] += peers
}

// left returns the nodes of a kind with which pair has not compared a node of cell i.
func (m *meshComparison) left(i, kind int) int {
	n := m.sizes[kind]
	if m.seen[i] != nil {
		n -= m.seen[i][kind]
	}
	if kind == m.of[i] {
		n-- // the node itself
	}
	return n
}

// established reports whether mesh sessions come up between nodes of two kinds; -1 is none.
func (n *network) established(a, b int) bool {
	return a >= 0 && b >= 0 && n.MeshReason(a, b) == ""
}

// count compares the sessions that pair has not visited.
func (m *meshComparison) count(c *familyComparison) {
	var was, is, both, reset int // each session is counted at both ends
	for i := range c.cells {
		if m.of[i] < 0 {
			continue
		}
		own := &m.kinds[m.of[i]]
		for k := range m.kinds {
			peers := m.left(i, k)
			if peers == 0 {
				continue
			}
			other := &m.kinds[k]
			had, has := c.before.established(own.was, other.was), c.now.established(own.is, other.is)
			resets := had && has && (own.changed || other.changed)
			total := peers * c.cells[i].nodes
			if had {
				was += total
				c.had[i] += peers
			}
			if has {
				is += total
				c.has[i] += peers
			}
			if had && has {
				both += total
			}
			switch {
			case resets:
				reset += total
			case had && has:
				c.stays[i] += peers
			}
			if had != has || resets {
				c.touched[i] = true
			}
		}
	}
	c.was.Mesh += was / 2
	c.is.Mesh += is / 2
	c.bothWas.Mesh += both / 2
	c.bothIs.Mesh += both / 2
	c.reset.Mesh += reset / 2
	c.kept.Mesh += (both - reset) / 2
}

// vertexKind is nodes in one vertex before and one now; -1 is no vertex.
type vertexKind struct{ was, is int32 }

// vertexKinds counts the nodes in both topologies by their vertices.
func (c *comparison) vertexKinds(f calico.Family) map[vertexKind]int {
	was, is := c.before.routings[f], c.now.routings[f]
	out := map[vertexKind]int{}
	for i := range c.cells {
		if x := &c.cells[i]; x.was >= 0 && x.is >= 0 {
			out[vertexKind{was.vertexOf[x.was], is.vertexOf[x.is]}] += x.nodes
		}
	}
	return out
}

// maxSameKinds bounds the kinds of nodes for which sameGraph compares each with each.
const maxSameKinds = 64

// sameGraph reports whether the graph of a family has the same sessions between the same nodes before and now, with the
// same numbers of policies, even if its vertices differ. It returns false if there are too many kinds of nodes to compare.
// O(cells + kinds of nodes squared).
func (c *comparison) sameGraph(f calico.Family) bool {
	was, is := c.before.routings[f], c.now.routings[f]
	sizes := c.vertexKinds(f)
	if !c.sameNodes || len(sizes) > maxSameKinds || was.graph.Preference != is.graph.Preference || !maps.Equal(was.policies.numbers, is.policies.numbers) {
		return false
	}
	clusters, reverse := map[int]int{}, map[int]int{}
	for k := range sizes {
		if k.was < 0 || k.is < 0 {
			if k.was != k.is {
				return false
			}
			continue
		}
		a, b := &was.graph.Vertices[k.was], &is.graph.Vertices[k.is]
		sameExternal := slices.EqualFunc(a.External, b.External, slices.Equal[[]routes.ExternalSession])
		if !sameExternal || a.Adds != b.Adds || !pairs(clusters, a.Cluster, b.Cluster) || !pairs(reverse, b.Cluster, a.Cluster) {
			return false
		}
		with, withNow := sessionsByVertex(a), sessionsByVertex(b)
		for m, nodes := range sizes {
			if (m != k || nodes > 1) && with[m.was] != withNow[m.is] {
				return false
			}
		}
	}
	return true
}

// pairs reports whether a has no other partner than b, which it becomes.
func pairs(partners map[int]int, a, b int) bool {
	if known, ok := partners[a]; ok {
		return known == b
	}
	partners[a] = b
	return (a == routes.NoCluster) == (b == routes.NoCluster)
}

// sessionsByVertex returns the sessions of a vertex by the other one. Their To is 1.
func sessionsByVertex(v *routes.Vertex) map[int32]routes.Session {
	out := make(map[int32]routes.Session, len(v.Sessions))
	for _, s := range v.Sessions {
		to := s.To
		s.To = 1
		out[to] = s
	}
	return out
}

// routes returns which routes nodes lose and gain in one family and one reading of
// external peers. Nodes of the same kinds before and now are compared together.
// O(cells + kinds of nodes squared), and O(nodes) if IPAMBlocks divide the nodes of cells.
func (c *comparison) routes(f calico.Family, reading routes.Reading) RoutesDifference {
	now, before := c.now.routings[f], c.before.routings[f]
	is, was := now.existing(reading), before.existing(reading)
	var sizes map[vertexKind]int
	if now.division == nil && before.division == nil {
		sizes = c.vertexKinds(f)
	} else {
		sizes = map[vertexKind]int{}
		for i := range c.now.index.Nodes {
			if k := c.numberWas(i); k >= 0 {
				sizes[vertexKind{int32(before.kind(uint(k))), int32(now.kind(uint(i)))}]++
			}
		}
	}
	has := func(m *routes.Reachability, from, to int32) bool {
		return from >= 0 && to >= 0 && m.Has(int(from), int(to))
	}
	lost, gained := map[vertexKind]bool{}, map[vertexKind]bool{}
	var out RoutesDifference
	for a, n := range sizes {
		for b, k := range sizes {
			if a == b {
				k--
			}
			if k == 0 {
				continue
			}
			switch has, had := has(is, a.is, b.is), has(was, a.was, b.was); {
			case had && !has:
				out.LostPairs += n * k
				lost[a], lost[b] = true, true
			case has && !had:
				out.GainedPairs += n * k
				gained[a], gained[b] = true, true
			}
		}
	}
	for a := range lost {
		out.LostNodes += sizes[a]
	}
	for a := range gained {
		out.GainedNodes += sizes[a]
	}
	return out
}
