//go:build system

package browser

import "testing"

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
		{"plan for 300 nodes", []string{"-f", write(t, mesh(t, 300)), "--to", "route-reflectors"}, []string{"1. ", "To go back:", "Before and after the plan"}},
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

// TestDiff compares a mesh with the same nodes behind route reflectors.
func TestDiff(t *testing.T) {
	p := open(t, bgpguardOf(t, 1, "diff", write(t, mesh(t, 300)), write(t, manifest(t, 300)), "-o", "html"), view{})
	p.says("Difference of", "Before and after the change", "removed")
	p.everywhere("diff of 300 nodes")
}
