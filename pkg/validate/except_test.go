package validate

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

var exceptionStart = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func exception(t *testing.T, name string, spec v1alpha1.BGPExceptionSpec) *policy.Exception {
	t.Helper()
	spec.Reason, spec.Expires = "INC-1", metav1.NewTime(exceptionStart.Add(time.Hour))
	x, err := policy.NewException(&v1alpha1.BGPException{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// The mesh is turned off, which isolates all nodes: two policies deny this.
func TestExceptions(t *testing.T) {
	set := defaults(t, "reachability-preserved", "route-reflectors-required")
	before := state.New(append(nodes(t, 5, 0), calicotest.Mesh(t, true))...)
	change := state.Change{Before: calicotest.Mesh(t, true), After: calicotest.Mesh(t, false)}
	of := func(name string, policies ...string) *policy.Exception {
		return exception(t, name, v1alpha1.BGPExceptionSpec{Policies: policies})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx        context.Context
		exceptions []*policy.Exception
		after      time.Duration
		allowed    bool
		used       string
	}{
		"none":                   {nil, nil, 0, false, ""},
		"one policy of two":      {nil, []*policy.Exception{of("a", "reachability-preserved")}, 0, false, "a reachability-preserved"},
		"both policies":          {nil, []*policy.Exception{of("a", "route-reflectors-required", "reachability-preserved")}, 0, true, "a reachability-preserved,route-reflectors-required"},
		"two exceptions":         {nil, []*policy.Exception{of("a", "route-reflectors-required"), of("b", "reachability-preserved")}, 0, true, "a route-reflectors-required b reachability-preserved"},
		"all policies":           {nil, []*policy.Exception{of("a", "*")}, 0, true, "a reachability-preserved,route-reflectors-required"},
		"the first of two":       {nil, []*policy.Exception{of("a", "*"), of("b", "*")}, 0, true, "a reachability-preserved,route-reflectors-required"},
		"an expired one":         {nil, []*policy.Exception{of("a", "*")}, time.Hour, false, ""},
		"of another object":      {nil, []*policy.Exception{exception(t, "a", v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Match: v1alpha1.Match{Names: []string{"other"}}})}, 0, false, ""},
		"of another user":        {nil, []*policy.Exception{exception(t, "a", v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Users: []string{"joe"}})}, 0, false, ""},
		"policies that fail":     {ended, []*policy.Exception{of("a", "*")}, 0, true, "a reachability-preserved,route-reflectors-required"},
		"one policy that fails":  {ended, []*policy.Exception{of("a", "reachability-preserved")}, 0, false, "a reachability-preserved"},
		"policies that fail too": {ended, nil, 0, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEngine(set)
			e.SetClock(func() time.Time { return exceptionStart.Add(test.after) })
			e.SetExceptions(test.exceptions)
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			d := e.Decide(ctx, before, Request{Change: change, User: "jane"})
			var used []string
			for _, o := range d.Excepted() {
				used = append(used, o.Exception.Name, strings.Join(o.Policies, ","))
			}
			if got := strings.Join(used, " "); d.Allowed != test.allowed || got != test.used {
				t.Errorf("allowed %t, used %q; want %t, %q: %s", d.Allowed, got, test.allowed, test.used, d.Message())
			}
			warned := slices.ContainsFunc(d.Warnings(), func(line string) bool {
				return strings.HasSuffix(line, " (allowed by BGPException a until 2026-03-14T13:00:00Z)")
			})
			if warned != (strings.HasPrefix(test.used, "a ")) {
				t.Errorf("warnings %q", d.Warnings())
			}
		})
	}
}

// An exception changes nothing about what is allowed anyway, and is not used then.
func TestAnExceptionIsUsedOnlyForADenial(t *testing.T) {
	set := compiled(t, document("mesh", "mesh-node-limit", "Warn", "maxNodes: 3"))
	e := NewEngine(set)
	e.SetClock(func() time.Time { return exceptionStart })
	e.SetExceptions([]*policy.Exception{exception(t, "a", v1alpha1.BGPExceptionSpec{Policies: []string{"*"}})})
	before := state.New(append(nodes(t, 5, 0), calicotest.Mesh(t, false))...)
	d := e.Decide(t.Context(), before, Request{Change: state.Change{Before: calicotest.Mesh(t, false), After: calicotest.Mesh(t, true)}})
	if !d.Allowed || d.Excepted() != nil || len(d.Verdicts) != 1 || d.Verdicts[0].Applied() != violation.Warn {
		t.Errorf("allowed %t, used %v, %+v", d.Allowed, d.Excepted(), d.Verdicts)
	}
}

// One exception must cover all changes of a set that a policy matches.
func TestAnExceptionForOneOfSeveralChanges(t *testing.T) {
	set := defaults(t, "reachability-preserved")
	before := state.New(append(nodes(t, 5, 0), calicotest.Mesh(t, true))...)
	requests := []Request{
		{Change: state.Change{Before: calicotest.Mesh(t, true), After: calicotest.Mesh(t, false)}},
		{Change: state.Change{After: peer(t, "p", "has(x)", "has(x)")}},
	}
	for kinds, want := range map[string]bool{"BGPConfiguration": false, "BGPConfiguration BGPPeer": true} {
		t.Run(kinds, func(t *testing.T) {
			e := NewEngine(set)
			e.SetClock(func() time.Time { return exceptionStart })
			e.SetExceptions([]*policy.Exception{exception(t, "a", v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Match: v1alpha1.Match{Kinds: strings.Fields(kinds)}})})
			if d := e.DecideSet(t.Context(), before, requests); d.Allowed != want {
				t.Errorf("allowed %t: %s", d.Allowed, d.Message())
			}
		})
	}
}
