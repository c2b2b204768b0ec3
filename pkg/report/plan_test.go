package report

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/test/golden"
)

// samplePlan is a plan with every part.
func samplePlan() *plan.Plan {
	return &plan.Plan{
		Target: plan.RouteReflectors, Title: "Change the cluster to route reflectors", Cluster: "prod", Created: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC),
		Choices: []string{"2 nodes for route reflectors: rr-1, rr-2."}, Notes: []string{"New nodes need no change."},
		Reflectors: []plan.Reflector{{Node: "rr-1", Zone: "a", ClusterID: "244.0.0.1", Sessions: 119}, {Node: "rr-2", ClusterID: "244.0.0.1", Sessions: 119}},
		Before:     plan.Figures{Nodes: 120, Sessions: 7140, Most: 119, MostNode: "worker-1", NeedsBGP: true},
		After:      plan.Figures{Nodes: 120, Sessions: 237, Most: 119, MostNode: "rr-1"},
		Steps: []plan.Step{
			{
				Number: 1, Name: "bgppeers", Title: "Create the BGPPeers: route-reflectors", Why: "They come before the cluster IDs.", File: "01-bgppeers.yaml",
				Commands: []string{"kubectl apply -f 01-bgppeers.yaml"}, Effect: "changes no session and no route between nodes",
				Warnings: []string{"[selector-hygiene] BGPPeer route-reflectors selects no node"}, Wait: plan.Wait{Text: "Nothing to wait for."},
				Back: []string{"kubectl delete bgppeers.projectcalico.org/route-reflectors"},
			},
			{
				Number: 2, Name: "mesh-off", Title: "Turn the node-to-node mesh off", Why: "Every route also comes from the route reflectors now.",
				Commands: []string{`kubectl patch bgpconfigurations.projectcalico.org/default --type=merge -p '{"spec":{"nodeToNodeMeshEnabled":false}}'`},
				Effect:   "removes 6,903 mesh sessions; no route is lost",
				Wait: plan.Wait{
					Text: "Wait until all sessions of the route reflectors are established.", Nodes: []string{"rr-1", "rr-2"}, Sessions: 238,
					Commands: []string{"bgpguard plan verify . --context CONTEXT"},
				},
				Back:       []string{`kubectl patch bgpconfigurations.projectcalico.org/default --type=merge -p '{"spec":{"nodeToNodeMeshEnabled":true}}'`},
				BackDenied: "[mesh-node-limit] the node-to-node mesh is too large: 118 nodes (limit 100)",
			},
		},
	}
}

func TestPlan(t *testing.T) {
	for _, format := range []string{Text, Markdown} {
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			if err := PlanFormats.Write(&b, format, &Plan{Plan: samplePlan()}); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", "plan_"+format+".golden"), b.Bytes())
		})
	}
}

func TestPlanStatus(t *testing.T) {
	steps := []plan.StepStatus{{Number: 1, Title: "Create the BGPPeers", Status: plan.Done}, {Number: 2, Title: "Turn the mesh off", Status: plan.Open}}
	status := func(change func(*plan.Verification)) *PlanStatus {
		v := &plan.Verification{
			Title: "Change the cluster to route reflectors", Cluster: "prod", Steps: steps, Made: 1, Next: 2, Wait: plan.WaitOver,
			WaitText: "Wait until all sessions of rr-1 are established.", NextCommands: []string{"kubectl patch x"},
		}
		change(v)
		return &PlanStatus{Verification: v}
	}
	for name, v := range map[string]*PlanStatus{
		"next": status(func(*plan.Verification) {}),
		"done": status(func(v *plan.Verification) { v.Made, v.Next, v.NextCommands = 2, 0, nil }),
		"waiting": status(func(v *plan.Verification) {
			v.Wait, v.WaitDetails, v.NextCommands = plan.WaitNotOver, []string{"1 half-session of the nodes to wait for not established", "rr-1: session to 10.0.0.7 worker-7 is Active"}, nil
		}),
		"drifted": status(func(v *plan.Verification) {
			v.Drift, v.NextDenied, v.NextCommands = []string{"the route reflector rr-2 does not exist"}, "[reachability-preserved] isolated nodes: 3 of 120 nodes", nil
		}),
	} {
		for _, format := range []string{Text, Markdown} {
			t.Run(name+"/"+format, func(t *testing.T) {
				var b bytes.Buffer
				if err := PlanStatusFormats.Write(&b, format, v); err != nil {
					t.Fatal(err)
				}
				golden.Check(t, filepath.Join("testdata", "planstatus_"+name+"_"+format+".golden"), b.Bytes())
			})
		}
	}
}
