package cluster

import (
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// What a replica keeps in memory, in bytes: without objects, for a Node, and for a BGPPeer. They are measured; see the section about sizing
// in docs/install.md. The garbage collector needs as much as a third of it beside.
const (
	memoryOfProcess = 8 << 20
	memoryOfNode    = 5 << 10
	memoryOfBGPPeer = 15 << 10
)

const (
	// minBGPPeers is the number of BGPPeers that a replica evaluates in any case, so that the number of Nodes alone stops no
	// evaluation.
	minBGPPeers = 1000
	// headroom divides the largest number of BGPPeers: the cluster may exceed it by this part, by BGPPeers whose creates are
	// reviewed at the same time, and by those that were created without a review.
	headroom = 10
)

// Capacity bounds the BGPPeers of a state by the memory of the process. The zero Capacity has no bound.
type Capacity struct{ memory int64 }

// NewCapacity returns the capacity of a process that may use the given number of bytes; 0 means no bound.
func NewCapacity(memory int64) Capacity { return Capacity{memory} }

// needed returns the memory that a process needs for Nodes and BGPPeers, in bytes.
func needed(nodes, peers int) int64 {
	return (memoryOfProcess + int64(nodes)*memoryOfNode + int64(peers)*memoryOfBGPPeer) * 4 / 3
}

// BGPPeers returns the largest number of BGPPeers beside a number of Nodes, at least 1,000, and false if there is no bound.
func (c Capacity) BGPPeers(nodes int) (int, bool) {
	return max(minBGPPeers, int((c.memory-needed(nodes, 0))*3/4/memoryOfBGPPeer)), c.memory > 0
}

// Room returns an error if a state has no room for a further BGPPeer.
func (c Capacity) Room(s *state.Snapshot) error {
	nodes, peers := len(s.Nodes()), len(s.BGPPeers())
	if limit, bounded := c.BGPPeers(nodes); bounded && peers >= limit {
		return c.exceeded(nodes, peers, limit, peers+1)
	}
	return nil
}

// check returns an error if a number of BGPPeers does not fit into the memory.
func (c Capacity) check(nodes, peers int) error {
	if limit, bounded := c.BGPPeers(nodes); bounded && peers > limit+limit/headroom {
		return c.exceeded(nodes, peers, limit, peers)
	}
	return nil
}

// exceeded returns the error about a number of BGPPeers, with the memory that wanted BGPPeers need.
func (c Capacity) exceeded(nodes, peers, limit, wanted int) error {
	more := needed(nodes, wanted) - c.memory
	return fmt.Errorf("%w: the cluster has %s beside %s, and the memory of bgpguard suffices for %s: raise its memory limit by at least %s MiB, "+
		"or use BGPPeers with selectors instead of one for each node", state.ErrTooLarge, text.Count(peers, string(calico.KindBGPPeer)),
		text.Count(nodes, string(calico.KindNode)), text.Number(limit), text.Number(int(more>>20)+1))
}
