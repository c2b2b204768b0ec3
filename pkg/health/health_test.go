package health

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snapshot reads a state in the same way as the CLI.
func snapshot(t testing.TB, documents ...string) *state.Snapshot {
	t.Helper()
	read, err := state.ReadFiles([]string{manifest.Stdin}, strings.NewReader(strings.Join(documents, "\n---\n")))
	if err != nil {
		t.Fatal(err)
	}
	return state.New(state.Objects(read)...)
}

// lines describes a Health, with one line for each part that is not empty.
func lines(h *Health) string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	add("%d of %d report, missing %d %s", h.Reporting, h.Nodes, h.Missing.Nodes, h.Missing.Sample)
	for _, o := range h.Outdated.Items {
		add("outdated %s of %s: %s: %s", o.Status, o.Node, o.Reason, o.Message)
	}
	for _, f := range calico.Families {
		c, d := h.Sessions.In(f), h.Daemons.In(f)
		if *c != (Sessions{}) {
			add("%s: %d of %d established, %d waiting", f, c.Established, c.Predicted, c.Waiting)
		}
		if *d != (Daemons{}) {
			add("%s: %d ready, %d not", f, d.Ready, d.NotReady)
		}
	}
	for what, list := range map[string]List[Session]{"down": h.Down, "absent": h.Absent, "unexpected": h.Unexpected} {
		if list.Total != len(list.Items) {
			add("%s: %d", what, list.Total)
		}
	}
	for _, list := range []struct {
		what string
		of   List[Session]
	}{{"down", h.Down}, {"absent", h.Absent}, {"unexpected", h.Unexpected}} {
		for _, s := range list.of.Items {
			add("%s: %s %s %s %s (%s) [%s %s] by %s", list.what, s.Node, s.Family, s.Type, s.PeerIP, s.PeerNode, s.State, s.Since, s.Sources)
		}
	}
	for _, d := range h.NotReady.Items {
		add("not ready: %s %s %s %s", d.Node, d.Family, d.State, d.Version)
	}
	for _, r := range h.Restarts.Measured.Items {
		add("restart: %s %s at %s took %d s, %d established, %d not", r.Node, r.Family, r.Boot.Format(time.DateTime), r.Seconds, r.Established, r.NotEstablished)
	}
	if h.Restarts.SlowestSeconds != nil {
		add("slowest %d s, median %d s", *h.Restarts.SlowestSeconds, *h.Restarts.MedianSeconds)
	}
	return strings.Join(out, "\n")
}

// asWhole is the description of the unchanged files.
const asWhole = `2 of 4 report, missing 2 [spare worker-2]
IPv4: 6 of 6 established, 0 waiting
IPv4: 2 ready, 0 not
IPv6: 1 of 1 established, 0 waiting
IPv6: 1 ready, 0 not
restart: rr IPv4 at 2026-11-24 11:00:00 took 31 s, 3 established, 0 not
restart: worker-1 IPv6 at 2026-11-24 02:00:00 took 7 s, 1 established, 0 not
slowest 31 s, median 7 s`

func TestCompare(t *testing.T) {
	const second = `
---
apiVersion: projectcalico.org/v3
kind: CalicoNodeStatus
metadata: {name: another}
spec: {node: rr, classes: [BGP, Agent], updatePeriodSeconds: 10}
status:
  lastUpdated: "2026-11-24T11:%s:00Z"
  agent: {birdV4: {state: NotReady}, birdV6: {state: NotReady}}
`
	worker1 := func(old, fresh string) []string { return []string{"name: worker-1", old, fresh} }
	rr := func(old, fresh string) []string { return []string{"name: rr", old, fresh} }
	for name, c := range map[string]comparison{
		"all is well": {},
		"a session is down": {
			changes: [][]string{rr(`since: "11:00:31", state: Established`, `since: "11:20:00", state: Active`), rr("EstablishedV4: 3", "EstablishedV4: 2")},
			lost:    []string{"IPv4: 6 of 6", "restart: rr", "slowest"},
			want: []string{
				"IPv4: 5 of 6 established, 0 waiting", "down: rr IPv4 NodePeer 10.0.0.12 (worker-2) [Active 11:20:00] by [workers]",
				"restart: rr IPv4 at 2026-11-24 11:00:00 took 4 s, 2 established, 1 not", "slowest 7 s, median 4 s",
			},
		},
		"a session waits for its peer to dial, for which there is no word": {
			changes: [][]string{worker1(`since: "11:00:04", state: Established, `, `since: "11:00:04", `), worker1("EstablishedV4: 3", "EstablishedV4: 2")},
			lost:    []string{"IPv4: 6 of 6"},
			want:    []string{"IPv4: 5 of 6 established, 0 waiting", "down: worker-1 IPv4 NodePeer 10.0.0.1 (rr) [ 11:00:04] by [workers]"},
		},
		"a session is not reported": {
			changes: [][]string{worker1(`- {peerIP: 172.16.0.2, since: "2026-11-21", state: Established, type: NodePeer}`, ""), worker1("EstablishedV4: 3", "EstablishedV4: 2")},
			lost:    []string{"IPv4: 6 of 6"},
			want:    []string{"IPv4: 5 of 6 established, 0 waiting", "absent: worker-1 IPv4 NodePeer 172.16.0.2 () [ ] by [tor-1]"},
		},
		"a session of another type is not the one that is predicted": {
			changes: [][]string{worker1("Established, type: GlobalPeer", "Idle, type: NodeMesh"), worker1("EstablishedV4: 3", "EstablishedV4: 2")},
			lost:    []string{"IPv4: 6 of 6"},
			want: []string{
				"IPv4: 5 of 6 established, 0 waiting", "absent: worker-1 IPv4 GlobalPeer 172.16.0.1 () [ ] by [switch]",
				"unexpected: worker-1 IPv4 NodeMesh 172.16.0.1 () [Idle 2026-11-21] by []",
			},
		},
		"a second protocol with a neighbour": {
			changes: [][]string{worker1("      peersV4:\n", "      peersV4:\n      - {peerIP: 10.0.0.1, since: \"11:00:04\", state: Idle, type: NodePeer}\n")},
			want:    []string{"unexpected: worker-1 IPv4 NodePeer 10.0.0.1 (rr) [Idle 11:00:04] by [workers]"},
		},
		"a session in a family that the node has no address in": {
			changes: [][]string{rr("      peersV4:\n", "      peersV6:\n      - {peerIP: \"fd00::11\", since: \"11:00:04\", state: Idle, type: NodePeer}\n      peersV4:\n")},
			want:    []string{"unexpected: rr IPv6 NodePeer fd00::11 () [Idle 11:00:04] by []"},
		},
		"sessions wait for graceful restart recovery": {
			changes: [][]string{rr("EstablishedV4: 3", "EstablishedV4: 1"), rr("NotEstablishedV4: 0", "NotEstablishedV4: 2")},
			lost:    []string{"IPv4: 6 of 6", "restart: rr"},
			want:    []string{"IPv4: 4 of 6 established, 2 waiting", "restart: rr IPv4 at 2026-11-24 11:00:00 took 31 s, 3 established, 2 not"},
		},
		"one on which no session comes up is neither predicted nor missed": {
			more: "\n---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: zero}, spec: {node: rr, peerIP: 172.16.0.3, asNumber: 0}}\n",
		},
		"it is not unexpected either, where it is reported": {
			more:    "\n---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: zero}, spec: {node: rr, peerIP: 172.16.0.3, asNumber: 0}}\n",
			changes: [][]string{rr("      peersV4:\n", "      peersV4:\n      - {peerIP: 172.16.0.3, since: \"11:00:04\", state: Idle, type: NodePeer}\n")},
		},
		"it is unexpected where it is established": {
			more: "\n---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: zero}, spec: {node: rr, peerIP: 172.16.0.3, asNumber: 0}}\n",
			changes: [][]string{
				rr("      peersV4:\n", "      peersV4:\n      - {peerIP: 172.16.0.3, since: \"11:00:05\", state: Established, type: NodePeer}\n"), rr("EstablishedV4: 3", "EstablishedV4: 4"),
			},
			lost: []string{"restart: rr"},
			want: []string{
				"unexpected: rr IPv4 NodePeer 172.16.0.3 () [Established 11:00:05] by [zero]", "restart: rr IPv4 at 2026-11-24 11:00:00 took 31 s, 4 established, 0 not",
			},
		},
		"one that is ambiguous may be reported": {
			more: "\n---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: a}, spec: {node: rr, peerIP: 172.16.0.3, asNumber: 1}}\n" +
				"---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: b}, spec: {node: rr, peerIP: 172.16.0.3, asNumber: 2}}\n",
			changes: [][]string{
				rr("      peersV4:\n", "      peersV4:\n      - {peerIP: 172.16.0.3, since: \"11:00:05\", state: Idle, type: NodePeer}\n"),
			},
		},
		"the BIRD of IPv4 does not answer": {
			changes: [][]string{
				worker1(`birdV4: {lastBootTime: "2026-11-21 09:00:00", lastReconfigurationTime: "2026-11-24 11:30:00", routerID: 10.0.0.11, state: Ready, version: v0.3.3+birdv1.6.8}`, "birdV4: {state: NotReady}"),
				worker1("EstablishedV4: 3", "EstablishedV4: 0"),
				worker1(`- {peerIP: 172.16.0.1, since: "2026-11-21", state: Established, type: GlobalPeer}`, ""),
				worker1(`- {peerIP: 172.16.0.2, since: "2026-11-21", state: Established, type: NodePeer}`, ""),
				worker1(`- {peerIP: 10.0.0.1, since: "11:00:04", state: Established, type: NodePeer}`, ""),
			},
			lost: []string{"IPv4: "},
			want: []string{
				"IPv4: 3 of 6 established, 0 waiting", "IPv4: 1 ready, 1 not", "absent: worker-1 IPv4 NodePeer 10.0.0.1 (rr) [ ] by [workers]",
				"absent: worker-1 IPv4 NodePeer 172.16.0.2 () [ ] by [tor-1]", "absent: worker-1 IPv4 GlobalPeer 172.16.0.1 () [ ] by [switch]",
				"not ready: worker-1 IPv4 NotReady ",
			},
		},
		"the BIRD of IPv6 does not answer, and the sessions of IPv4 are dropped too": {
			changes: [][]string{
				rr("birdV6: {", "birdV6: {state: NotReady}\n      other: {"), rr("EstablishedV4: 3", "EstablishedV4: 0"), rr(`- {peerIP: 172.16.0.1, since: "11:00:02", state: Established, type: GlobalPeer}`, ""),
				rr(`- {peerIP: 10.0.0.11, since: "11:00:04", state: Established, type: NodePeer}`, ""), rr(`- {peerIP: 10.0.0.12, since: "11:00:31", state: Established, type: NodePeer}`, ""),
			},
			lost: []string{"2 of 4", "IPv4: 6", "restart: rr", "slowest"},
			want: []string{
				"1 of 4 report, missing 2 [spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "slowest 7 s, median 7 s",
				"outdated rr of rr: Emptied: lists no sessions: the BIRD of IPv6 does not answer, and calico-node then drops the sessions of IPv4 too",
			},
		},
		"no sessions, and no class Agent": {
			changes: [][]string{
				rr("[Agent, BGP, Routes]", "[BGP]"), rr("EstablishedV4: 3", "EstablishedV4: 0"), rr(`- {peerIP: 172.16.0.1, since: "11:00:02", state: Established, type: GlobalPeer}`, ""),
				rr(`- {peerIP: 10.0.0.11, since: "11:00:04", state: Established, type: NodePeer}`, ""), rr(`- {peerIP: 10.0.0.12, since: "11:00:31", state: Established, type: NodePeer}`, ""),
			},
			lost: []string{"2 of 4", "IPv4: ", "restart: rr", "slowest"},
			want: []string{
				"1 of 4 report, missing 2 [spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "IPv4: 1 ready, 0 not", "slowest 7 s, median 7 s",
				"outdated rr of rr: Emptied: lists no sessions, and does not show whether BIRD answers: add Agent to spec.classes",
			},
		},
		"nothing was asked of the daemon, so starts are not measured": {
			changes: [][]string{rr("[Agent, BGP, Routes]", "[BGP]")},
			lost:    []string{"IPv4: 2 ready", "restart: rr", "slowest"}, want: []string{"IPv4: 1 ready, 0 not", "slowest 7 s, median 7 s"},
		},
		"nothing was asked of sessions": {
			changes: [][]string{rr("[Agent, BGP, Routes]", "[Agent]")},
			lost:    []string{"2 of 4", "IPv4: 6", "restart: rr", "slowest"},
			want:    []string{"1 of 4 report, missing 3 [rr spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "slowest 7 s, median 7 s"},
		},
		"nothing was asked but routes": {
			changes: [][]string{rr("[Agent, BGP, Routes]", "[Routes]"), rr("updatePeriodSeconds: 10", "updatePeriodSeconds: 0")},
			lost:    []string{"2 of 4", "IPv4: ", "restart: rr", "slowest"},
			want:    []string{"1 of 4 report, missing 3 [rr spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "IPv4: 1 ready, 0 not", "slowest 7 s, median 7 s"},
		},
		"of two statuses the later one holds": {
			more: fmt.Sprintf(second, "45"),
			lost: []string{"IPv4: ", "restart: rr", "slowest"},
			want: []string{
				"IPv4: 3 of 6 established, 0 waiting", "IPv4: 1 ready, 1 not", "not ready: rr IPv4 NotReady ", "absent: rr IPv4 NodePeer 10.0.0.11 (worker-1) [ ] by [workers]",
				"absent: rr IPv4 NodePeer 10.0.0.12 (worker-2) [ ] by [workers]", "absent: rr IPv4 GlobalPeer 172.16.0.1 () [ ] by [switch]", "slowest 7 s, median 7 s",
			},
		},
		"of two statuses the earlier one does not": {more: fmt.Sprintf(second, "15")},
		"the start was long before the status":     {changes: [][]string{rr(`birdV4: {lastBootTime: "2026-11-24 11:00:00"`, `birdV4: {lastBootTime: "2026-11-23 15:30:05"`)}, lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"}},
		"the start was after the status, by another clock": {
			changes: [][]string{rr(`birdV4: {lastBootTime: "2026-11-24 11:00:00"`, `birdV4: {lastBootTime: "2026-11-24 12:00:00"`)}, lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"},
		},
		"a session is from before the start": {
			changes: [][]string{rr(`birdV4: {lastBootTime: "2026-11-24 11:00:00"`, `birdV4: {lastBootTime: "2026-11-24 11:00:03"`)}, lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"},
		},
		"a session of which only the day is known": {
			changes: [][]string{rr(`since: "11:00:02"`, `since: "2026-11-24"`)}, lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"},
		},
		"the start was on the day before": {
			changes: [][]string{worker1(`birdV6: {lastBootTime: "2026-11-24 02:00:00"`, `birdV6: {lastBootTime: "2026-11-23 23:59:50"`), worker1("02:00:07", "00:00:20")},
			lost:    []string{"restart: worker-1", "slowest"}, want: []string{"restart: worker-1 IPv6 at 2026-11-23 23:59:50 took 30 s, 1 established, 0 not", "slowest 31 s, median 30 s"},
		},
		"a status of a node that is gone": {
			changes: [][]string{rr("node: rr", "node: r")},
			lost:    []string{"2 of 4", "IPv4: ", "restart: rr", "slowest"},
			want: []string{
				"1 of 4 report, missing 3 [rr spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "IPv4: 1 ready, 0 not", "slowest 7 s, median 7 s",
				`outdated rr of r: UnknownNode: spec.node: there is no Node "r": delete the CalicoNodeStatus, or correct the name`,
			},
		},
		"a status of a node that is down":          outdatedRR("", "NodeNotReady: the node is not ready, so its report may be stale: check the node", "\n---\n"+downRR),
		"a status that was never written":          outdatedRR(`lastUpdated: "2026-11-24T11:30:05Z"=lastUpdated: null`, "NeverWritten: calico-node has not written a status: check that it runs and may update CalicoNodeStatuses", ""),
		"a status that is not refreshed":           outdatedRR("Seconds: 10=Seconds: 0", "NotRefreshed: spec.updatePeriodSeconds is 0, so the status is written once and not refreshed: set a period", ""),
		"a status that calico-node passes over":    outdatedRR("updatePeriodSeconds: 10=", "NotRefreshed: spec.updatePeriodSeconds is unset, so calico-node skips the object: set it", ""),
		"a status with a row that does not parse":  outdatedRR("peerIP: 10.0.0.12=peerIP: worker-2", `Malformed: status.bgp.peersV4[2].peerIP: must be an IPv4 address, is "worker-2"`, ""),
		"a status that gives no period and a time": outdatedRR("updatePeriodSeconds: 10=updatePeriodSeconds: often", `Malformed: spec.updatePeriodSeconds: must be a whole number from 0 to 86400, is "often"`, ""),
		"a status that is no longer written": outdatedRR(`lastUpdated: "2026-11-24T11:30:05Z"=lastUpdated: "2026-11-23T15:49:00Z"`,
			"Stopped: was last written 20 hours ago and has times of day, which BIRD gives for 20 hours only, so calico-node no longer writes it: check that it runs on the node", ""),
		"a status that may just be about to be written": {
			changes: [][]string{rr(`lastUpdated: "2026-11-24T11:30:05Z"`, `lastUpdated: "2026-11-23T15:51:00Z"`)}, lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"},
		},
		"an old status in which nothing has changed": {
			changes: [][]string{
				rr(`lastUpdated: "2026-11-24T11:30:05Z"`, `lastUpdated: "2026-01-01T00:00:00Z"`), rr(`since: "11:00:02"`, `since: "2025-11-24"`), rr(`since: "11:00:04"`, `since: "2025-11-24"`), rr(`since: "11:00:31"`, `since: "2025-11-24"`),
			},
			lost: []string{"restart: rr", "slowest"}, want: []string{"slowest 7 s, median 7 s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			statuses := file(t, "statuses.yaml")
			for _, change := range c.changes {
				statuses = replaced(t, statuses, change)
			}
			s := snapshot(t, file(t, "cluster.yaml"), statuses, c.more)
			got := strings.Split(lines(Compare(s, topologytest.Compute(t, s, nil), now)), "\n")
			var want []string
			for line := range strings.SplitSeq(asWhole, "\n") {
				lost := false
				for _, l := range c.lost {
					lost = lost || strings.HasPrefix(line, l)
				}
				if !lost {
					want = append(want, line)
				}
			}
			want = append(want, c.want...)
			for _, line := range missing(got, want) {
				t.Errorf("not want: %s", line)
			}
			for _, line := range missing(want, got) {
				t.Errorf("want: %s", line)
			}
		})
	}
}

const downRR = `{apiVersion: v1, kind: Node, metadata: {name: rr, labels: {rr: ""}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/RouteReflectorClusterID: 244.0.0.1}},
  status: {conditions: [{type: Ready, status: Unknown}]}}`

// comparison is a change of the files and the resulting difference from asWhole.
type comparison struct {
	// changes are replacements: a text that precedes the old text, the old text, the new text.
	changes [][]string
	more    string   // objects
	lost    []string // beginnings of missing lines
	want    []string // additional lines
}

// outdatedRR returns a comparison in which the status of the route reflector is outdated.
// change is "old=new".
func outdatedRR(change, message, more string) comparison {
	c := comparison{more: more, lost: []string{"2 of 4", "IPv4: ", "restart: rr", "slowest"}, want: []string{
		"1 of 4 report, missing 2 [spare worker-2]", "IPv4: 3 of 3 established, 0 waiting", "IPv4: 1 ready, 0 not", "slowest 7 s, median 7 s", "outdated rr of rr: " + message,
	}}
	if old, fresh, ok := strings.Cut(change, "="); ok {
		c.changes = [][]string{{"name: rr", old, fresh}}
	}
	return c
}

func replaced(t *testing.T, text string, change []string) string {
	t.Helper()
	before, after, ok := strings.Cut(text, change[0])
	if !ok || !strings.Contains(after, change[1]) {
		t.Fatalf("there is no %s after %s", change[1], change[0])
	}
	return before + change[0] + strings.Replace(after, change[1], change[2], 1)
}

// missing lists what is in want and not in got.
func missing(got, want []string) []string {
	var out []string
	for _, line := range want {
		if !slices.Contains(got, line) {
			out = append(out, line)
		}
	}
	return out
}

// compare compares s with its topology.
func compare(t *testing.T, s *state.Snapshot) *Health {
	t.Helper()
	if s == nil {
		return Compare(nil, nil, now)
	}
	return Compare(s, topologytest.Compute(t, s, nil), now)
}

func TestWithoutStatusesTheHealthIsEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		snapshot *state.Snapshot
		want     string
	}{
		"no state":                        {nil, "0 of 0 report, missing 0 []"},
		"a state without":                 {snapshot(t, file(t, "cluster.yaml")), "0 of 0 report, missing 0 []"},
		"a state of which there are none": {snapshot(t, file(t, "cluster.yaml")).Knowing(calico.KindCalicoNodeStatus), "0 of 4 report, missing 4 [rr spare worker-1]"},
	} {
		t.Run(name, func(t *testing.T) {
			h := compare(t, c.snapshot)
			if got := lines(h); got != c.want || h.Known != c.snapshot.Knows(calico.KindCalicoNodeStatus) {
				t.Errorf("known %v\n%s", h.Known, got)
			}
		})
	}
}

// Readers of the JSON form need not check whether a list exists.
func TestTheJSONHasEveryFieldAndNoNullList(t *testing.T) {
	text, err := json.Marshal(Compare(nil, nil, now))
	if err != nil {
		t.Fatal(err)
	}
	const none = `{"total":0,"items":[]}`
	want := `{"known":false,"nodes":0,"reporting":0,"missing":{"nodes":0,"sample":[]},"outdated":` + none +
		`,"sessions":{"IPv4":{"predicted":0,"established":0,"waiting":0,"successRate":null},"IPv6":{"predicted":0,"established":0,"waiting":0,"successRate":null}}` +
		`,"down":` + none + `,"absent":` + none + `,"unexpected":` + none + `,"daemons":{"IPv4":{"ready":0,"notReady":0},"IPv6":{"ready":0,"notReady":0}},"notReady":` + none +
		`,"reflectors":` + none +
		`,"restarts":{"slowestSeconds":null,"medianSeconds":null,"measured":` + none + `}}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestTheSuccessRateIsThatOfPredictedSessions(t *testing.T) {
	statuses := replaced(t, file(t, "statuses.yaml"), []string{"name: worker-1", `since: "11:00:04", state: Established`, `since: "11:00:04", state: Connect`})
	h := compare(t, snapshot(t, file(t, "cluster.yaml"), statuses))
	if four, six := h.Sessions.IPv4.SuccessRate, h.Sessions.IPv6.SuccessRate; four == nil || *four != 5.0/6 || six == nil || *six != 1 {
		t.Errorf("got %v and %v", four, six)
	}
}

// A shortened list contains the total. No count is derived from the listed entries.
func TestListsAreBoundedAndCounted(t *testing.T) {
	s := reflectors(t, 400, func(i int) calico.SessionState {
		if i%2 == 0 {
			return calico.SessionIdle
		}
		return calico.SessionEstablished
	})
	h := compare(t, s)
	if h.Down.Total != 198*3 || len(h.Down.Items) != maxListed || h.Sessions.IPv4.Predicted != 397*3+3*399 {
		t.Errorf("%d down, %d listed, %d predicted", h.Down.Total, len(h.Down.Items), h.Sessions.IPv4.Predicted)
	}
}
