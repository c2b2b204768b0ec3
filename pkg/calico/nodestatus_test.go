package calico_test

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

const statusMeta = `"kind":"CalicoNodeStatus","metadata":{"name":"s","labels":{"a":"b"},"managedFields":[{"manager":"x"}]}`

// nodeStatus decodes a CalicoNodeStatus with a spec and a status.
func nodeStatus(t *testing.T, rest string) *calico.NodeStatus {
	t.Helper()
	return decode(t, `{"apiVersion":"projectcalico.org/v3",`+statusMeta+rest+`}`).(*calico.NodeStatus)
}

const wholeStatus = `,"spec":{"node":"worker-1","classes":["Routes","BGP","Agent"],"updatePeriodSeconds":10},"status":{
	"lastUpdated":"2026-11-24T12:00:07Z",
	"agent":{"birdV4":{"state":"Ready","version":"v0.3.3+birdv1.6.8","routerID":"10.0.0.1","lastBootTime":"2026-11-24 11:00:00","lastReconfigurationTime":"2026-11-24 11:30:00"},
		"birdV6":{"state":"NotReady"}},
	"bgp":{"numberEstablishedV4":1,"numberNotEstablishedV4":2,"numberEstablishedV6":0,"numberNotEstablishedV6":1,
		"peersV4":[{"peerIP":"10.0.0.3","type":"GlobalPeer","state":"Active","since":"2026-11-21"},
			{"peerIP":"10.0.0.2","type":"NodeMesh","state":"Established","since":"11:00:05"},
			{"peerIP":"10.0.0.2","type":"NodePeer"}],
		"peersV6":[{"peerIP":"fe80::1%eth0","type":"NodePeer","state":"Idle","since":"11:00:05.250"}]},
	"routes":{"routesV4":[{"type":"FIB","destination":"10.1.0.0/26","gateway":"10.0.0.2","interface":"eth0","learnedFrom":{"sourceType":"NodeMesh","peerIP":"10.0.0.2"}}]}}`

func TestACalicoNodeStatusIsReadFromBothGroups(t *testing.T) {
	s := nodeStatus(t, wholeStatus)
	if other := decode(t, `{"apiVersion":"crd.projectcalico.org/v1",`+statusMeta+wholeStatus+`}`); !calico.Equal(s, other) {
		t.Errorf("the forms differ:\n%+v\n%+v", s, other)
	}
	if s.ID() != (calico.ID{Kind: calico.KindCalicoNodeStatus, Name: "s"}) || s.Node != "worker-1" || !s.Agent || !s.BGP || *s.UpdatePeriod != 10*time.Second || len(s.Problems()) > 0 {
		t.Errorf("got %+v", s)
	}
	if got := s.LastUpdated.String(); got != "2026-11-24 12:00:07 +0000 UTC" {
		t.Errorf("last updated %s", got)
	}
	four, six := s.Families[calico.IPv4], s.Families[calico.IPv6]
	want := calico.DaemonStatus{
		State: calico.DaemonReady, Version: "v0.3.3+birdv1.6.8", RouterID: "10.0.0.1",
		LastBoot: time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC), LastReconfiguration: time.Date(2026, 11, 24, 11, 30, 0, 0, time.UTC),
	}
	if four.Daemon != want || four.Daemon.Unreachable() || !six.Daemon.Unreachable() {
		t.Errorf("daemons %+v and %+v", four.Daemon, six.Daemon)
	}
	if four.Established != 1 || four.NotEstablished != 2 || six.Established != 0 || six.NotEstablished != 1 {
		t.Errorf("counts %+v and %+v", four, six)
	}
	var rows []string
	for _, p := range slices.Concat(four.Peers, six.Peers) {
		rows = append(rows, strings.Join([]string{p.IP.String(), p.Type.String(), p.State.String(), p.Since.String()}, " "))
	}
	if want := []string{"10.0.0.2 NodeMesh Established 11:00:05", "10.0.0.2 NodePeer  ", "10.0.0.3 GlobalPeer Active 2026-11-21", "fe80::1 NodePeer Idle 11:00:05"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}

func TestCalicoNodeStatusKeepsNoRoutes(t *testing.T) {
	manifest, err := json.Marshal(calico.Manifest(nodeStatus(t, wholeStatus)))
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{"routes", "managedFields", `"a"`} {
		if strings.Contains(string(manifest), kept) {
			t.Errorf("%s is kept: %s", kept, manifest)
		}
	}
	if size := unsafe.Sizeof(calico.PeerStatus{}); size > 32 {
		t.Errorf("a row takes %d bytes: of a mesh there are nodes times nodes", size)
	}
}

func TestCalicoNodeStatusManifestRoundTrip(t *testing.T) {
	for _, text := range []string{wholeStatus, "", `,"spec":{"updatePeriodSeconds":0}`, `,"spec":null,"status":{"lastUpdated":null,"agent":{},"bgp":{"peersV4":null}}`} {
		s := nodeStatus(t, text)
		if again, err := calico.Decode(calico.Manifest(s)); err != nil || !calico.Equal(s, again) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", text, again, err, s)
		}
	}
}

func TestDifferentCalicoNodeStatusesAreNotEqual(t *testing.T) {
	s := nodeStatus(t, wholeStatus)
	for _, change := range [][2]string{
		{`"worker-1"`, `"worker-2"`}, {`"Agent"`, `"agent"`}, {`"BGP"`, `"bgp"`}, {`"Routes"`, `"routes"`}, {`Seconds":10`, `Seconds":0`}, {`,"updatePeriodSeconds":10`, ``},
		{`12:00:07Z`, `12:00:08Z`}, {`"Ready"`, `"NotReady"`}, {`birdv1.6.8`, `birdv1.6.9`}, {`"10.0.0.1"`, `"10.0.0.9"`}, {`11:00:00`, `11:00:01`}, {`11:30:00`, `11:30:01`},
		{`EstablishedV4":1`, `EstablishedV4":2`}, {`EstablishedV4":2`, `EstablishedV4":3`}, {`"10.0.0.3"`, `"10.0.0.4"`}, {`GlobalPeer`, `NodePeer`},
		{`"Active"`, `"Idle"`}, {`2026-11-21`, `2026-11-20`}, {`2026-11-21`, `21 November`},
	} {
		t.Run(change[1]+" instead of "+change[0], func(t *testing.T) {
			text := strings.Replace(wholeStatus, change[0], change[1], 1)
			if text == wholeStatus || calico.Equal(s, nodeStatus(t, text)) {
				t.Error("it makes no difference")
			}
		})
	}
}

func TestInvalidFieldsOfACalicoNodeStatus(t *testing.T) {
	for text, want := range map[string]string{
		`,"spec":"x"`:                                                            `spec: must be an object, is "x"`,
		`,"spec":{"node":7}`:                                                     `spec.node: must be a string, is 7`,
		`,"spec":{"classes":[1]}`:                                                `spec.classes[0]: must be a string, is 1`,
		`,"spec":{"updatePeriodSeconds":86401}`:                                  `spec.updatePeriodSeconds: must be a whole number from 0 to 86400, is 86401`,
		`,"status":[]`:                                                           `status: must be an object, is a list`,
		`,"status":{"lastUpdated":"yesterday"}`:                                  `status.lastUpdated: must be a time such as "2006-01-02T15:04:05Z07:00", is "yesterday"`,
		`,"status":{"lastUpdated":"9999-12-31T23:59:59-01:00"}`:                  `status.lastUpdated: must be a time such as "2006-01-02T15:04:05Z07:00", is "9999-12-31T23:59:59-01:00"`,
		`,"status":{"agent":{"birdV4":{"state":"Well"}}}`:                        `status.agent.birdV4.state: must be one of Ready, NotReady, is "Well"`,
		`,"status":{"agent":{"birdV6":{"lastBootTime":"11:00:00"}}}`:             `status.agent.birdV6.lastBootTime: must be a time such as "2006-01-02 15:04:05", is "11:00:00"`,
		`,"status":{"bgp":{"numberEstablishedV4":-1}}`:                           `status.bgp.numberEstablishedV4: must be a whole number from 0 to 2147483647, is -1`,
		`,"status":{"bgp":{"peersV4":{}}}`:                                       `status.bgp.peersV4: must be a list, is an object`,
		`,"status":{"bgp":{"peersV4":["x"]}}`:                                    `status.bgp.peersV4[0]: must be an object, is "x"`,
		`,"status":{"bgp":{"peersV4":[{"type":"NodeMesh"}]}}`:                    `status.bgp.peersV4[0].peerIP: is missing, or type is: the row cannot be assigned to a peer`,
		`,"status":{"bgp":{"peersV4":[{"peerIP":"fd00::1","type":"NodePeer"}]}}`: `status.bgp.peersV4[0].peerIP: must be an IPv4 address, is "fd00::1"`,
		`,"status":{"bgp":{"peersV6":[{"peerIP":"fd00::1","type":"NodePeer","state":"Sleeping"}]}}`:                                       `status.bgp.peersV6[0].state: must be one of Idle, Connect, Active, OpenSent, OpenConfirm, Close, Established, is "Sleeping"`,
		`,"status":{"bgp":{"peersV4":[{"peerIP":"10.0.0.1","type":"NodePeer"},{"peerIP":"10.0.0.1","type":"NodePeer","since":"now"},7]}}`: `status.bgp.peersV4[1].since: must be a time of day such as "15:20:31" or a date such as "2026-11-21", is "now"`,
	} {
		t.Run(want, func(t *testing.T) {
			s := nodeStatus(t, text)
			if len(s.Problems()) != 1 || s.Problems()[0].String() != want {
				t.Errorf("%s\n got %v\nwant %s", text, s.Problems(), want)
			}
			if s.UpdatePeriod != nil || !s.LastUpdated.IsZero() || s.Families[0].Daemon != (calico.DaemonStatus{}) || s.Families[1].Daemon != (calico.DaemonStatus{}) {
				t.Errorf("%s: something was guessed: %+v", text, s)
			}
		})
	}
	_, err := calico.DecodeJSON([]byte(`{"apiVersion":"projectcalico.org/v3","kind":"CalicoNodeStatus","metadata":{}}`))
	if err == nil || err.Error() != "metadata.name: is missing" {
		t.Errorf("without a name: %v", err)
	}
	_, err = calico.DecodeJSON([]byte(`{"apiVersion":"example.com/v1","kind":"CalicoNodeStatus","metadata":{"name":"a"}}`))
	if err == nil || !strings.HasPrefix(err.Error(), "CalicoNodeStatus of example.com/v1 does not decide BGP") {
		t.Errorf("of another group: %v", err)
	}
}

func TestSinceAfter(t *testing.T) {
	boot := time.Date(2026, 11, 24, 22, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"22:30:00": "2026-11-24 22:30:00", "22:30:04": "2026-11-24 22:30:04", "22:29:59": "2026-11-25 22:29:59", "00:00:00": "2026-11-25 00:00:00", "2026-11-24": "", "": "",
	} {
		t.Run(cmp.Or(text, "no time"), func(t *testing.T) {
			s := nodeStatus(t, `,"status":{"bgp":{"peersV4":[{"peerIP":"10.0.0.2","type":"NodeMesh","since":"`+text+`"}]}}`)
			if len(s.Problems()) > 0 {
				t.Fatal(s.Problems())
			}
			got := ""
			if at, ok := s.Families[calico.IPv4].Peers[0].Since.After(boot); ok {
				got = at.Format(time.DateTime)
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// FuzzNodeStatus decodes a CalicoNodeStatus with any contents, and checks that decoding its
// manifest gives the same values.
func FuzzNodeStatus(f *testing.F) {
	f.Add("worker-1", "BGP", int64(10), "2026-11-24T12:00:07+02:00", "Ready", "2026-11-24 11:00:00", "10.0.0.2", "NodeMesh", "Established", "11:00:05")
	f.Add("", "", int64(-1), "0000-01-01T00:00:00+01:00", "", "0001-01-01 00:00:00", "fe80::1%eth0", "", "", "1969-12-31")
	f.Add("", "", int64(86400), "9999-12-31T23:59:59.999Z", "NotReady", "9999-12-31 23:59:59.999", "::ffff:10.0.0.1", "NodePeer", "Passive", "9999-12-31")
	f.Fuzz(func(t *testing.T, node, class string, period int64, updated, state, boot, ip, kind, session, since string) {
		row := map[string]any{"peerIP": ip, "type": kind, "state": session, "since": since}
		daemon := map[string]any{"state": state, "version": node, "lastBootTime": boot}
		o, err := calico.Decode(map[string]any{
			"apiVersion": "projectcalico.org/v3", "kind": "CalicoNodeStatus", "metadata": map[string]any{"name": "s"},
			"spec": map[string]any{"node": node, "classes": []any{class}, "updatePeriodSeconds": period},
			"status": map[string]any{
				"lastUpdated": updated, "agent": map[string]any{"birdV4": daemon, "birdV6": daemon},
				"bgp": map[string]any{"peersV4": []any{row}, "peersV6": []any{row}, "numberEstablishedV4": period},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := o.(*calico.NodeStatus)
		for f := range s.Families {
			for _, p := range s.Families[f].Peers {
				if p.IP != (netip.Addr{}) && calico.FamilyOf(p.IP) != calico.Family(f) {
					t.Errorf("%s is among the peers of %s", p.IP, calico.Family(f))
				}
			}
		}
		again, err := calico.Decode(calico.Manifest(s))
		if err != nil {
			t.Fatal(err)
		}
		r := again.(*calico.NodeStatus)
		if !r.LastUpdated.Equal(s.LastUpdated) || r.Node != s.Node || len(s.Problems()) == 0 && !calico.Equal(s, r) {
			t.Errorf("read\n%+v\nand again\n%+v", s, r)
		}
		for f := range s.Families {
			if r.Families[f].Daemon != s.Families[f].Daemon || !slices.Equal(r.Families[f].Peers, s.Families[f].Peers) {
				t.Errorf("read\n%+v\nand again\n%+v", s.Families[f], r.Families[f])
			}
		}
	})
}
