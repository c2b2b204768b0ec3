package author

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// GoBench is the format of Go's benchmarks, which benchstat reads.
const GoBench = "bench"

// BenchOptions say on which cluster policies are timed, and how often.
type BenchOptions struct {
	Nodes, BGPPeers int
	// Count is how often each measurement is made; what is told is the median.
	Count int
}

// The stages that are timed.
const (
	// stageFirst is the first evaluation after the policy was loaded.
	stageFirst = "first"
	// stageChange is an evaluation on the state after a change.
	stageChange = "change"
	// stageRest is a whole decision by all other policies.
	stageRest = "rest"
)

// Measurement is one measurement of one stage.
type Measurement struct {
	N      int     // how often it was done
	Time   float64 // nanoseconds each
	Bytes  float64 // allocated each
	Allocs float64
}

// Bench is what was measured of a policy, by stage.
type Bench struct {
	Policy   string
	Nodes    int
	BGPPeers int
	Stages   map[string][]Measurement
}

// RunBench times policies on a made-up cluster. all are the policies that hold
// besides: what a policy takes is told beside what they take together.
func RunBench(ctx context.Context, policies []*policy.Policy, all *policy.Set, o BenchOptions) ([]*Bench, error) {
	if o.Count < 1 {
		return nil, fmt.Errorf("a measurement is made once or more, not %d times", o.Count)
	}
	snapshot, change, err := cluster(o.Nodes, o.BGPPeers)
	if err != nil {
		return nil, err
	}
	var out []*Bench
	for _, p := range policies {
		others := slices.DeleteFunc(slices.Clone(all.Policies()), func(q *policy.Policy) bool { return q.Definition == p.Definition })
		engine := validate.NewEngine(policy.NewSet(others))
		if err := engine.Warm(ctx, snapshot); err != nil {
			return nil, err
		}
		request := validate.Request{Change: change, User: "bench"}
		before, data, err := engine.Input(ctx, snapshot, validate.Request{})
		if err != nil {
			return nil, err
		}
		after, dataAfter, err := engine.Input(ctx, snapshot, request)
		if err != nil {
			return nil, err
		}
		if p.Definition.Judges == policy.JudgesChange {
			before, data = after, dataAfter
		}
		evaluate := func(p *policy.Policy, input ast.Object, data ast.Value) error {
			_, err := p.Evaluate(ctx, input, func() ast.Value { return data })
			return err
		}
		b := &Bench{Policy: p.Name, Nodes: o.Nodes, BGPPeers: o.BGPPeers, Stages: map[string][]Measurement{}}
		for range o.Count {
			for _, stage := range []struct {
				name    string
				prepare func() (*policy.Policy, error)
				do      func(p *policy.Policy) error
			}{
				{stageFirst, p.Anew, func(p *policy.Policy) error { return evaluate(p, before, data) }},
				{stageChange, nil, func(*policy.Policy) error { return evaluate(p, after, dataAfter) }},
				{stageRest, nil, func(*policy.Policy) error {
					if d := engine.Decide(ctx, snapshot, request); len(d.Failures) > 0 {
						return d.Failures[0].Err
					}
					return nil
				}},
			} {
				m, err := measure(ctx, stage.prepare, stage.do)
				if err != nil {
					return nil, fmt.Errorf("policy %s: %w", p.Name, err)
				}
				b.Stages[stage.name] = append(b.Stages[stage.name], m)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// measured is how long one measurement takes, about.
const measured = 100 * time.Millisecond

// measure does something again and again. Where it takes preparing, each time is
// measured by itself, and what prepare takes is not counted.
func measure(ctx context.Context, prepare func() (*policy.Policy, error), do func(*policy.Policy) error) (Measurement, error) {
	var m Measurement
	var p *policy.Policy
	for start := time.Now(); m.N == 0 || time.Since(start) < measured; {
		if prepare != nil {
			var err error
			if p, err = prepare(); err != nil {
				return m, err
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		for done := false; !done; done = prepare != nil || time.Since(begun) >= measured {
			if ctx.Err() != nil {
				return m, errors.New("interrupted")
			}
			if err := do(p); err != nil {
				return m, err
			}
			m.N++
		}
		m.Time += float64(time.Since(begun).Nanoseconds())
		runtime.ReadMemStats(&after)
		m.Bytes += float64(after.TotalAlloc - before.TotalAlloc)
		m.Allocs += float64(after.Mallocs - before.Mallocs)
	}
	n := float64(m.N)
	m.Time, m.Bytes, m.Allocs = m.Time/n, m.Bytes/n, m.Allocs/n
	return m, nil
}

// median is the one in the middle, by time.
func median(ms []Measurement) Measurement {
	sorted := slices.SortedFunc(slices.Values(ms), func(a, b Measurement) int { return cmp.Compare(a.Time, b.Time) })
	return sorted[len(sorted)/2]
}

// WriteBench writes measurements as Text or GoBench.
func WriteBench(w io.Writer, format string, benches []*Bench) error {
	if format == GoBench {
		return writeGoBench(w, benches)
	}
	for i, b := range benches {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := b.writeText(w); err != nil {
			return err
		}
	}
	return nil
}

func writeGoBench(w io.Writer, benches []*Bench) error {
	_, err := fmt.Fprintf(w, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	for _, b := range benches {
		for _, stage := range []string{stageFirst, stageChange, stageRest} {
			for _, m := range b.Stages[stage] {
				if err == nil {
					_, err = fmt.Fprintf(w, "BenchmarkPolicy/policy=%s/stage=%s/nodes=%d/bgppeers=%d-%d\t%d\t%.0f ns/op\t%.0f B/op\t%.0f allocs/op\n",
						b.Policy, stage, b.Nodes, b.BGPPeers, runtime.GOMAXPROCS(0), m.N, m.Time, m.Bytes, m.Allocs)
				}
			}
		}
	}
	return err
}

func (b *Bench) writeText(w io.Writer) error {
	first, change, rest := median(b.Stages[stageFirst]), median(b.Stages[stageChange]), median(b.Stages[stageRest])
	fmt.Fprintf(w, "%s on %s and %s, median of %d:\n", b.Policy, text.Count(b.Nodes, "node"), text.Count(b.BGPPeers, "BGPPeer"), len(b.Stages[stageFirst]))
	const row = "  %-46s  %10s  %12s  %12s\n"
	fmt.Fprintf(w, row, "", "TIME", "BYTES", "ALLOCATIONS")
	for _, stage := range []struct {
		name string
		m    Measurement
	}{
		{"first evaluation after it is loaded", first},
		{"evaluation on the state after a change", change},
		{"the rest of a decision, by all other policies", rest},
	} {
		fmt.Fprintf(w, row, stage.name, duration(stage.m.Time), text.Number(int(stage.m.Bytes)), text.Number(int(stage.m.Allocs)))
	}
	const percent = 100
	_, err := fmt.Fprintf(w, "It takes %.1f %% of a decision that evaluates it.\n", percent*change.Time/(change.Time+rest.Time))
	return err
}

func duration(nanoseconds float64) string {
	d := time.Duration(nanoseconds)
	switch {
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	default:
		return d.String()
	}
}
