package author

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// defaults returns the policies that bgpguard installs.
func defaults(t *testing.T) *policy.Set {
	t.Helper()
	documents, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The length of a trace does not depend on how often expressions are evaluated.
func TestATraceIsAsLongAsThePolicy(t *testing.T) {
	lines := func(nodes, peers int) int {
		snapshot, change, err := syntheticCluster(nodes, peers)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Explain(t.Context(), defaults(t), time.Now, "selector-hygiene", snapshot, validate.Request{Change: change})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, x := range e.Policies {
			for _, ev := range x.Evaluations {
				for _, r := range ev.Rules {
					n += 1 + len(r.Steps)
				}
			}
		}
		return n
	}
	few, many := lines(50, 5), lines(50, 200)
	if few == 0 || many > few+5 {
		t.Errorf("%d rules and steps for 5 BGPPeers, %d for 200", few, many)
	}
}

func TestTheSyntheticClusterHasFewViolations(t *testing.T) {
	snapshot, change, err := syntheticCluster(100, 20)
	if err != nil {
		t.Fatal(err)
	}
	evaluation := validate.NewEngine(defaults(t)).Evaluate(t.Context(), snapshot)
	for _, v := range evaluation.Violations() {
		if v.Policy != "external-peer-hygiene" { // Its routers have no password.
			t.Errorf("%s: %s", v.Policy, v.Message)
		}
	}
	if failures := evaluation.Failures(); len(failures) > 0 {
		t.Errorf("failures %v", failures)
	}
	if snapshot.Apply(change) == snapshot {
		t.Error("the change changes nothing")
	}
}

func TestWatchRunsAgainWhenAFileChanges(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "below", "a.rego")
	write := func(text string) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package a\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	runs := 0
	Watch(ctx, []string{dir}, time.Millisecond, func(context.Context) {
		runs++
		switch runs {
		case 1:
			write("package a\n\nb := 1\n")
		case 2:
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		case 3:
			cancel()
		}
	})
	if runs != 3 {
		t.Errorf("%d runs, want 3: one at first, one for a change of the file, one for its end", runs)
	}
}

func TestRangesAreMerged(t *testing.T) {
	at := func(from, to int) cover.Range {
		return cover.Range{Start: cover.Position{Row: from}, End: cover.Position{Row: to}}
	}
	for name, c := range map[string]struct {
		list []cover.Range
		want string
	}{
		"none":     {nil, ""},
		"equal":    {[]cover.Range{at(3, 3), at(3, 3)}, "3"},
		"nested":   {[]cover.Range{at(3, 9), at(4, 5), at(12, 12)}, "3-9 12"},
		"adjacent": {[]cover.Range{at(3, 3), at(4, 4), at(6, 7)}, "3-4 6-7"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(ranges(c.list), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAMeasurementEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := measure(ctx, nil, func(*policy.Policy) error {
		calls++
		if calls == 3 {
			cancel()
		}
		return nil
	})
	if fmt.Sprint(err) != "interrupted" || calls != 3 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}
