package auditor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

func TestEveryReplicaKnowsTheCurrentAudit(t *testing.T) {
	server := newAPIServer()
	set, on := policies(t, deny3, hygiene), cluster(t, 4, true)
	leader, other := start(t, server, set, on), start(t, server, set, on)
	other.leads = false
	if a, err := leader.Current(t.Context()); err != nil || !a.Violations[0].FirstSeen.Equal(began) || a.Violations[0].Origin != "" {
		t.Errorf("before the first audit: %+v, %v", a, err)
	}
	leader.then(t, 0, on)
	if a, err := leader.Current(t.Context()); err != nil || a != leader.Latest() {
		t.Errorf("of the leader: %p, %v; the last is %p", a, err, leader.Latest())
	}

	other.then(t, time.Hour, on)
	a, err := other.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v := a.Violations[0]; !v.FirstSeen.Equal(began) || v.Origin != audit.Standing || !a.Time.Equal(began.Add(time.Hour)) || fmt.Sprint(a.Notes) != "[a note]" {
		t.Errorf("elsewhere: since %s, %s, at %s, notes %q", v.FirstSeen, v.Origin, a.Time, a.Notes)
	}
	if server.writes != 1 || server.created != 1 {
		t.Errorf("%d writes, %d Events: one who does not lead tells nothing", server.writes, server.created)
	}

	// The next reader gets the same, for a while, and as long as the state is the same.
	if again, err := other.Current(t.Context()); err != nil || again != a {
		t.Errorf("asked again: %v, %v", again, err)
	}
	other.then(t, 0, cluster(t, 5, true))
	b, err := other.Current(t.Context())
	if err != nil || b == a || b.Summary.Nodes.BGP != 5 {
		t.Errorf("of another state: %+v, %v", b, err)
	}
	other.at = other.at.Add(currentAge)
	if c, err := other.Current(t.Context()); err != nil || c == b {
		t.Errorf("later: %v, %v", c, err)
	}
}

func TestWhatIsNotRememberedIsSaid(t *testing.T) {
	server := newAPIServer()
	r := start(t, server, policies(t, deny3), cluster(t, 4, true))
	r.leads, server.refuse["read"] = false, errors.New("forbidden")
	a, err := r.Current(t.Context())
	if err != nil || len(a.Violations) != 1 || len(a.Notes) != 2 || !strings.Contains(a.Notes[1], "is not known: forbidden") {
		t.Errorf("got %+v, %v", a, err)
	}
	r.state.err = errors.New("not ready")
	if _, err := r.Current(t.Context()); err == nil {
		t.Error("there is an audit of a state that is not known")
	}
}
