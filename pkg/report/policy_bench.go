package report

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/author"
)

// writePolicyBenchText writes a table of medians for each policy.
func writePolicyBenchText(w io.Writer, results []*author.BenchResult) error {
	var b strings.Builder
	for i, r := range results {
		if i > 0 {
			b.WriteString("\n")
		}
		first, change, rest := median(r.First), median(r.Change), median(r.Rest)
		fmt.Fprintf(&b, "%s on %s and %s, median of %d:\n", r.Policy, Count(r.Nodes, "node"), Count(r.BGPPeers, "BGPPeer"), len(r.First))
		const row = "  %-46s  %10s  %12s  %12s\n"
		fmt.Fprintf(&b, row, "", "TIME", "BYTES", "ALLOCATIONS")
		for _, stage := range []struct {
			name string
			m    author.Measurement
		}{
			{"first evaluation after loading", first},
			{"evaluation of the state after a change", change},
			{"rest of a decision, by all other policies", rest},
		} {
			fmt.Fprintf(&b, row, stage.name, roundTime(stage.m.Time), number(int(stage.m.Bytes)), number(int(stage.m.Allocs)))
		}
		const percent = 100
		fmt.Fprintf(&b, "The policy takes %.1f %% of a decision that evaluates it.\n", percent*change.Time/(change.Time+rest.Time))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// median returns the measurement with the median time.
func median(ms []author.Measurement) author.Measurement {
	sorted := slices.SortedFunc(slices.Values(ms), func(a, b author.Measurement) int { return cmp.Compare(a.Time, b.Time) })
	return sorted[len(sorted)/2]
}

// roundTime formats a duration in nanoseconds with at most two decimals.
func roundTime(nanoseconds float64) string {
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

// writePolicyBenchGo writes each measurement in the format of Go benchmarks
// (https://go.dev/design/14313-benchmark-format), which benchstat reads.
func writePolicyBenchGo(w io.Writer, results []*author.BenchResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	for _, r := range results {
		for _, stage := range []struct {
			name         string
			measurements []author.Measurement
		}{{"first", r.First}, {"change", r.Change}, {"rest", r.Rest}} {
			for _, m := range stage.measurements {
				fmt.Fprintf(&b, "BenchmarkPolicy/policy=%s/stage=%s/nodes=%d/bgppeers=%d-%d\t%d\t%.0f ns/op\t%.0f B/op\t%.0f allocs/op\n",
					r.Policy, stage.name, r.Nodes, r.BGPPeers, runtime.GOMAXPROCS(0), m.N, m.Time, m.Bytes, m.Allocs)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
