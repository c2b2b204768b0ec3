package topology

import (
	"maps"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// trap is a state in which Calico does other than its author may think, and all
// that comes of it, as view.lines tells it.
type trap struct {
	objects []calico.Object
	// change is made to them, unless it is empty.
	change state.Change
	want   string
}

func (c *trap) state() *state.Snapshot { return state.New(c.objects...).Apply(c.change) }

// check reports where what an implementation says of the trap is another thing.
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

// The model against which the property tests hold the topology has to know the
// traps itself.
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
	for _, list := range []map[string]*trap{bgpPeerTraps(t), peerIPTraps(t), meshTraps(t), reflectorTraps(t), frozenTraps(t)} {
		maps.Copy(out, list)
	}
	return out
}

// at is a node with an IPv4 address.
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

// listensOn is the BGPConfiguration of one node, with a port.
func listensOn(t *testing.T, name string, port int64) calico.Object {
	t.Helper()
	return calicotest.Object(t, "BGPConfiguration", "node."+name, map[string]any{"listenPort": port})
}
