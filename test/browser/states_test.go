//go:build system

package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/test/env"
)

// now is when all audits were.
var now = time.Date(2026, 7, 1, 9, 30, 0, 0, time.UTC)

// manifest is a cluster of count nodes: a full mesh of up to ten, else three route reflectors and their clients. Extra
// objects come behind, each a line of YAML without its apiVersion.
func manifest(t *testing.T, count int, extra ...string) string {
	t.Helper()
	return nodes(t, count, count <= 10, extra)
}

// mesh is a cluster of count nodes in a full mesh, with extra objects.
func mesh(t *testing.T, count int, extra ...string) string {
	t.Helper()
	return nodes(t, count, true, extra)
}

func nodes(t *testing.T, count int, mesh bool, extra []string) string {
	t.Helper()
	var b bytes.Buffer
	for i, node := range env.Nodes(count) {
		if !mesh && i < 3 {
			env.RouteReflector("244.0.0.1")(node)
		}
		node.APIVersion, node.Kind = "v1", "Node"
		text, err := json.Marshal(node)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s\n", text)
	}
	objects := []string{fmt.Sprintf("kind: BGPConfiguration, metadata: {name: default}, spec: {asNumber: 64512, nodeToNodeMeshEnabled: %t}", mesh)}
	if !mesh {
		objects = append(objects,
			"kind: BGPPeer, metadata: {name: clients}, spec: {nodeSelector: '!has(route-reflector)', peerSelector: has(route-reflector)}",
			"kind: BGPPeer, metadata: {name: reflectors}, spec: {nodeSelector: has(route-reflector), peerSelector: has(route-reflector)}")
	}
	for _, o := range append(objects, extra...) {
		fmt.Fprintf(&b, "---\n{apiVersion: projectcalico.org/v3, %s}\n", o)
	}
	return b.String()
}

// write puts text into a file.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// auditOf judges a manifest by the library as it is installed.
func auditOf(t *testing.T, cluster, manifest string) *audit.Audit {
	t.Helper()
	read, err := state.ReadFiles([]string{"-"}, strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	documents, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	policies, err := policy.Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	a, err := audit.Run(t.Context(), validate.NewEngine(policies), state.New(state.Objects(read)...), audit.Options{Cluster: cluster, Time: now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pageOf is the page of audits.
func pageOf(t *testing.T, audits ...*audit.Audit) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.AuditFormats.Write(&b, report.HTML, &report.Audit{Report: &audit.Report{Version: "v1.4.0", Clusters: audits}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// faults are objects with which a cluster has something wrong of every severity.
var faults = []string{
	"kind: BGPPeer, metadata: {name: rack-000-to-tor}, spec: {nodeSelector: rack == 'rack-000', peerIP: 172.16.0.1, asNumber: 65000, maxRestartTime: 300s}",
	"kind: BGPPeer, metadata: {name: rack-001-to-tor}, spec: {nodeSelector: rack == 'rack-001', peerIP: 172.16.1.1, asNumber: 65001, keepaliveTime: 10s}",
	"kind: BGPPeer, metadata: {name: stray}, spec: {nodeSelector: rack == 'rack-002', peerIP: 10.0.0.99, asNumber: 64999}",
	"kind: BGPPeer, metadata: {name: mistyped}, spec: {nodeSelector: rak == 'rack-001', peerSelector: has(route-reflector), maxRestartTime: 30s}",
}

// past makes a look like an audit that followed a cluster for weeks.
func past(a *audit.Audit) *audit.Audit {
	origins := []audit.Origin{audit.Standing, audit.PastAdmission, audit.Allowed, audit.Unreviewed, audit.Exempt}
	causes := map[audit.Origin]string{
		audit.PastAdmission: "introduced by a change to BGPPeer stray that the policy denies: it bypassed the webhook",
		audit.Exempt:        "introduced by a change to BGPPeer rack-000-to-tor by alice@example.com, who is exempt from the policy",
	}
	for i := range a.Violations {
		v := &a.Violations[i]
		v.FirstSeen = now.Add(-time.Duration(i*i) * 7 * time.Hour)
		v.Origin = origins[i%len(origins)]
		v.Cause = causes[v.Origin]
	}
	for day := range 30 {
		p := a.Point()
		p.Time = now.AddDate(0, 0, day-30)
		p.Violations = map[string]int{"critical": max(0, (day-20)/4), "high": 3 + day%4, "medium": 12 - day/4, "low": day % 3}
		a.Trend = append(a.Trend, p)
	}
	return a
}

// reporting gives a what its nodes would report: all but ten, of which one node has lost a session, and one BIRD is down.
func reporting(a *audit.Audit) *audit.Audit {
	predicted := a.Summary.Sessions.IPv4.Total * 2
	rate := float64(predicted-2) / float64(predicted)
	boot := now.Add(-3 * time.Hour)
	a.Health = &health.Health{
		Known: true, Nodes: a.Summary.Nodes.BGP, Reporting: a.Summary.Nodes.BGP - 10, Missing: health.NodeSet{Nodes: 9, Sample: []string{"node-0090", "node-0091", "node-0092"}},
		Outdated: health.List[health.Outdated]{Total: 1, Items: []health.Outdated{{
			Status: "node-0099", Node: "node-0099", LastUpdated: &boot, Reason: health.Stopped, Message: "calico-node no longer writes it: check that it runs on the node",
		}}},
		Sessions: topology.PerFamily[health.Sessions]{IPv4: health.Sessions{Predicted: predicted, Established: predicted - 2, Waiting: 1, SuccessRate: &rate}},
		Down: health.List[health.Session]{Total: 1, Items: []health.Session{{
			Node: "node-0007", Family: "IPv4", PeerIP: "10.0.0.1", PeerNode: "node-0000", Type: "NodePeer", State: "Connect", Since: "08:12:44", Sources: []string{"clients"},
		}}},
		Daemons:  topology.PerFamily[health.Daemons]{IPv4: health.Daemons{Ready: a.Summary.Nodes.BGP - 11, NotReady: 1}},
		NotReady: health.List[health.Daemon]{Total: 1, Items: []health.Daemon{{Node: "node-0042", Family: "IPv4", State: "NotReady"}}},
		Restarts: health.Restarts{
			SlowestSeconds: new(48), MedianSeconds: new(11),
			Measured: health.List[health.Restart]{Total: 1, Items: []health.Restart{{Node: "node-0003", Family: "IPv4", Boot: boot, Seconds: 48, Established: 3}}},
		},
	}
	return a
}
