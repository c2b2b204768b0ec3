package report

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/test/golden"
)

func TestThePageOfAPlanHasEveryStep(t *testing.T) {
	p := &Plan{Plan: &plan.Plan{
		Target: "route-reflectors", Title: "Route reflectors", Cluster: "prod<eu>", Version: "v1", Created: time.Unix(0, 0),
		Choices: []string{"3 reflectors, one per zone"}, Notes: []string{"a note"}, Reflectors: []plan.Reflector{{Node: "a", ClusterID: "1.0.0.1", Sessions: 7}},
		Before: plan.Figures{Sessions: 10}, After: plan.Figures{Sessions: 3},
		Steps: []plan.Step{
			{Number: 1, Name: "label", Title: "Label the reflectors", Why: "they are selected", Commands: []string{"kubectl label node a rr="}, Effect: "nothing", Wait: plan.Wait{Text: "No wait."}, Back: []string{"kubectl label node a rr-"}},
			{Number: 2, Name: "off", Title: "Turn the mesh off", Effect: "removes 10 mesh sessions", Warnings: []string{"take care"}, Wait: plan.Wait{Text: "Sessions are established.", Nodes: []string{"b"}, Sessions: 3}, BackDenied: "too many sessions"},
		},
	}}
	var b bytes.Buffer
	if err := PlanFormats.Write(&b, HTML, p); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"BGP plan of prod&lt;eu&gt;", "Route reflectors: 2 steps", `href="#step-2"`, `id="step-2"`, "kubectl label node a rr=", "removes 10 mesh sessions", "Warning: take care",
		"3 half-sessions on 1 node (b)", "too many sessions", "3 reflectors, one per zone", "a note",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

func TestThePageOfAPlanShowsTheTopologyBeforeAndAfter(t *testing.T) {
	var nodes []calico.Object
	for i := range 4 {
		nodes = append(nodes, calicotest.NumberedNode(t, i))
	}
	p := samplePlan()
	p.Start = topologytest.Compute(t, state.New(append(nodes, calicotest.Mesh(t, true))...), nil)
	p.End = topologytest.Compute(t, state.New(append(nodes, calicotest.Mesh(t, false))...), p.Start)
	var b bytes.Buffer
	if err := PlanFormats.Write(&b, HTML, &Plan{Plan: p}); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, filepath.Join("testdata", "plan_html.golden"), b.Bytes())
}

func TestThePageOfDesignsHasEachDesign(t *testing.T) {
	for name, c := range comparisons(t) {
		var b bytes.Buffer
		if err := DesignFormats.Write(&b, HTML, c); err != nil {
			t.Fatal(err)
		}
		for _, d := range c.Designs {
			if !strings.Contains(b.String(), `id="design-`+string(d.Goal)+`"`) {
				t.Errorf("%s: %s is not on the page", name, d.Goal)
			}
		}
	}
}
