package auditor

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

func TestReadTrail(t *testing.T) {
	server := newAPIServer()
	read := func() (*audit.Trail, error) { return ReadTrail(t.Context(), server, "bgpguard-system", logr.Discard()) }
	if trail, err := read(); trail != nil || err != nil {
		t.Errorf("before the first audit: %+v, %v", trail, err)
	}

	on := cluster(t, 4, true)
	leader := start(t, server, policies(t, deny3), on)
	leader.then(t, 0, on)
	trail, err := read()
	if err != nil || !trail.Time.Equal(began) || len(trail.Violations) != 1 {
		t.Fatalf("got %+v, %v", trail, err)
	}
	if v := trail.Violations[0]; v.Policy != "mesh-node-limit" || !v.FirstSeen.Equal(began) || v.Origin != audit.Standing {
		t.Errorf("got %+v", v)
	}

	server.fail["read"] = errors.New("forbidden")
	if trail, err := read(); trail != nil || err == nil || err.Error() != "forbidden" {
		t.Errorf("without permission: %+v, %v", trail, err)
	}
}
