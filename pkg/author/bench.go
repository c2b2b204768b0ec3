package author

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// BenchOptions configure Bench.
type BenchOptions struct {
	// Nodes and BGPPeers are the size of the synthetic cluster.
	Nodes, BGPPeers int
	// Count is the number of measurements of each stage.
	Count int
}

// BenchResult contains the measurements of one policy.
type BenchResult struct {
	Policy string
	// Nodes and BGPPeers are the size of the synthetic cluster.
	Nodes, BGPPeers int
	// First measures the first evaluation after the policy is loaded. Change measures
	// an evaluation of the state after a change. Rest measures a complete decision by
	// all other policies.
	First, Change, Rest []Measurement
}

// Measurement contains the means of N runs.
type Measurement struct {
	N      int
	Time   float64 // nanoseconds
	Bytes  float64 // allocated
	Allocs float64
}

// Bench benchmarks policies on a synthetic cluster. all are the policies in force;
// their decision time is measured for comparison. Bench returns an error if a policy
// cannot be evaluated or ctx is done.
func Bench(ctx context.Context, policies []*policy.Policy, all *policy.Set, o BenchOptions) ([]*BenchResult, error) {
	if o.Count < 1 {
		return nil, fmt.Errorf("the number of measurements must be 1 or more, is %d", o.Count)
	}
	snapshot, change, err := syntheticCluster(o.Nodes, o.BGPPeers)
	if err != nil {
		return nil, err
	}
	var out []*BenchResult
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
		b := &BenchResult{Policy: p.Name, Nodes: o.Nodes, BGPPeers: o.BGPPeers}
		for range o.Count {
			for _, stage := range []struct {
				measurements *[]Measurement
				prepare      func() (*policy.Policy, error)
				do           func(p *policy.Policy) error
			}{
				{&b.First, p.Fresh, func(p *policy.Policy) error { return evaluate(p, before, data) }},
				{&b.Change, nil, func(*policy.Policy) error { return evaluate(p, after, dataAfter) }},
				{&b.Rest, nil, func(*policy.Policy) error {
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
				*stage.measurements = append(*stage.measurements, m)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// benchTime is the minimum duration of one measurement, including preparation.
// testing.Benchmark cannot replace measure: it excludes preparation from its
// minimum, so a policy that compiles slower than it evaluates would be compiled
// thousands of times, and it cannot be interrupted.
const benchTime = 100 * time.Millisecond

// measure runs do repeatedly. With prepare, it measures each run separately and
// excludes the time of prepare.
func measure(ctx context.Context, prepare func() (*policy.Policy, error), do func(*policy.Policy) error) (Measurement, error) {
	var m Measurement
	var p *policy.Policy
	for start := time.Now(); m.N == 0 || time.Since(start) < benchTime; {
		if prepare != nil {
			var err error
			if p, err = prepare(); err != nil {
				return m, err
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		for done := false; !done; done = prepare != nil || time.Since(begun) >= benchTime {
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
