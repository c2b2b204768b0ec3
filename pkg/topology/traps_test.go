package topology

import (
	"maps"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// trap is a state with an effect that its author may not expect, and the complete result
// as in view.lines.
type trap struct {
	objects []calico.Object
	// change is applied to objects. It may be empty.
	change state.Change
	want   string
}

func (c *trap) state() *state.Snapshot { return state.New(c.objects...).Apply(c.change) }

// check compares the result of an implementation with want.
func (c *trap) check(t *testing.T, got []string) {
	t.Helper()
	var want []string
	for line := range strings.Lines(c.want) {
		if line = strings.TrimSpace(line); line != "" {
			want = append(want, line)
		}
	}
	if fault := strings.Join(got, "\n"); fault != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s\nstate:\n%s", fault, strings.Join(want, "\n"), show(c.state()))
	}
}

func TestTraps(t *testing.T) {
	for name, c := range traps(t) {
		t.Run(name, func(t *testing.T) {
			s := c.state()
			c.check(t, viewOf(compute(t, s, nil)).lines(s))
		})
	}
}

// TestTheNaiveModelKnowsTheTraps verifies the naive model, with which the property tests
// compare the topology.
func TestTheNaiveModelKnowsTheTraps(t *testing.T) {
	for name, c := range traps(t) {
		t.Run(name, func(t *testing.T) {
			s := c.state()
			c.check(t, newNaive(s).view().lines(s))
		})
	}
}

func traps(t *testing.T) map[string]*trap {
	t.Helper()
	out := map[string]*trap{}
	for _, list := range []map[string]*trap{bgpPeerTraps(t), peerIPTraps(t), meshTraps(t), reflectorTraps(t), frozenTraps(t), readingTraps(t)} {
		maps.Copy(out, list)
	}
	return out
}

// at returns a node with an IPv4 address.
func at(t *testing.T, name, address string, options ...calicotest.Tweak) calico.Object {
	t.Helper()
	return calicotest.Node(t, name, append([]calicotest.Tweak{calicotest.BGP("ipv4Address", address)}, options...)...)
}

func noMesh(t *testing.T) calico.Object {
	t.Helper()
	return configuration(t, map[string]any{"nodeToNodeMeshEnabled": false})
}

func bgpPeer(t *testing.T, name string, spec map[string]any) calico.Object {
	t.Helper()
	return calicotest.Object(t, "BGPPeer", name, spec)
}

// listensOn returns the BGPConfiguration of one node with a listen port.
func listensOn(t *testing.T, name string, port int64) calico.Object {
	t.Helper()
	return calicotest.Object(t, "BGPConfiguration", "node."+name, map[string]any{"listenPort": port})
}
