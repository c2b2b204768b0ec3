//go:build system

package browser

import (
	"fmt"
	"testing"
)

// TestPlan reads the comparison of designs for clusters of several sizes, and a plan.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"designs for 5 nodes", []string{"-f", write(t, mesh(t, 5))}, []string{"Designs", "How to read the table", "route reflectors"}},
		{"designs for 300 nodes", []string{"-f", write(t, mesh(t, 300, routers(2)...))}, []string{"recommended", "89,700", "in one address family"}},
		{"designs for 5000 nodes", []string{"-f", write(t, mesh(t, 5000))}, []string{"recommended"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, bgpguard(t, append([]string{"plan", "-o", "html"}, c.args...)...), view{})
			p.says(c.says...)
			p.everywhere(c.name)
			// All columns of the designs are in sight on a telephone.
			p.look(view{width: telephone})
			if over := ask[int](p, `Math.max(0, ...Array.from(document.querySelectorAll(".compared .scroll")).map(s => s.scrollWidth - s.clientWidth))`); over > 0 {
				t.Errorf("the table of designs is %d pixels wider than a telephone", over)
			}
		})
	}
}

// TestChanges looks at the pages of one change to clusters of every size: a mesh that becomes a cluster with route reflectors,
// and a cluster whose nodes lose theirs.
func TestChanges(t *testing.T) {
	change := write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}")
	for _, n := range []int{5, 300, 5000} {
		full, reflected := write(t, mesh(t, n)), write(t, nodes(t, n, false, nil))
		for _, c := range []struct {
			name string
			code int
			args []string
			says []string
		}{
			{"audit of a change", 0, []string{"audit", "-f", reflected, "--change", change, "--delete", "--fail-on", "none"}, []string{"Denied: delete BGPPeer clients", "What it does:", "By the change:", "isolated nodes"}},
			{"topology after a change", 0, []string{"topology", "-f", reflected, "--change", change, "--delete"}, []string{"Denied: delete BGPPeer clients", "What it does:", "isolated nodes"}},
			{"diff", 1, []string{"diff", full, reflected}, []string{"Difference of", "Before and after the change", "3 Nodes", "from the node-to-node mesh"}},
			{"plan to reflectors", 0, []string{"plan", "-f", full, "--to", "route-reflectors"}, []string{"1. ", "To go back:", "Before and after the plan", "Before and after the change"}},
		} {
			name := fmt.Sprintf("%s of %d nodes", c.name, n)
			t.Run(name, func(t *testing.T) {
				p := open(t, bgpguardOf(t, c.code, append(c.args, "-o", "html")...), view{})
				p.says(c.says...)
				if n := ask[int](p, `document.querySelectorAll("*").length`); n > manyElements {
					t.Errorf("the page has %d elements", n)
				}
				p.everywhere(name)
			})
		}
	}
}
