package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func TestAClusterThatIsNotInTheBaselineIsNew(t *testing.T) {
	at := time.Date(2026, 3, 16, 8, 0, 0, 0, time.UTC)
	of := func(hour int, clusters ...string) *audit.Report {
		r := &audit.Report{}
		for _, name := range clusters {
			v := audit.Violation{Violation: violation.Violation{Policy: "p", ID: "x"}, Severity: "high"}
			r.Clusters = append(r.Clusters, &audit.Audit{Cluster: name, Time: at.Add(time.Duration(hour) * time.Hour), Violations: []audit.Violation{v}})
		}
		return r
	}
	for name, c := range map[string]struct {
		now      *audit.Report
		history  []*audit.Report
		baseline *audit.Report
		want     string
		err      string
	}{
		"one joins":                    {of(2, "eu", "us"), []*audit.Report{of(0, "eu")}, of(1, "eu", "asia"), "eu Known 2, us New 0", ""},
		"only history":                 {of(2, "eu", "us"), []*audit.Report{of(0, "us")}, nil, "eu  0, us  1", ""},
		"a baseline of other clusters": {of(2, "eu", "us"), nil, of(1, "lab", "test"), "", `flag --baseline: b.json: the report does not contain cluster "eu", cluster "us"; it contains cluster "lab", cluster "test"`},
		"a history of other clusters":  {of(2, "eu", "us"), []*audit.Report{of(0, "lab"), of(1, "lab", "test")}, nil, "", `flag --history: no report contains cluster "eu", cluster "us"; the reports contain cluster "lab", cluster "test"`},
		"none could be read":           {of(2), []*audit.Report{of(0, "eu")}, of(1, "eu"), "", ""},
		"nothing to compare":           {of(2, "eu"), nil, nil, "eu  0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := auditOptions{baseline: "b.json"}
			err := o.compare(c.now, c.history, c.baseline)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("got error %v, want %s", err, c.err)
				}
				return
			}
			var got []string
			for _, a := range c.now.Clusters {
				got = append(got, a.Cluster+" "+string(a.Violations[0].Compared)+" "+string(rune('0'+len(a.Trend))))
			}
			if err != nil || strings.Join(got, ", ") != c.want {
				t.Errorf("got %q, %v, want %s", got, err, c.want)
			}
		})
	}
}
