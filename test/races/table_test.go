//go:build system

package races

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// report is the result of a run, so far.
type report struct {
	mu     sync.Mutex
	races  []raceRow
	prunes []pruneRow
}

// addRace adds the result of a race and writes the tables, so that a run that is interrupted leaves its results.
func (r *report) addRace(t *testing.T, row raceRow) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.races = append(r.races, row)
	r.write(t)
}

// addPrune adds the result of harmless deletes and writes the tables.
func (r *report) addPrune(t *testing.T, row pruneRow) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prunes = append(r.prunes, row)
	r.write(t)
}

func (r *report) write(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(*output, []byte(r.String()), 0o600); err != nil {
		t.Error(err)
	}
}

// raceRow is the result of a race.
type raceRow struct {
	setup, race                                 string
	rounds, both, unanswered, one, none, failed int
	took                                        []time.Duration
	elapsed                                     time.Duration
}

// add adds a round in which a number of changes were persisted, and one of them perhaps without an answer.
func (r *raceRow) add(result result, persisted int, unanswered bool) {
	r.rounds++
	switch {
	case persisted == 0:
		r.none++
	case persisted == 1:
		r.one++
	case unanswered:
		r.unanswered++
	default:
		r.both++
	}
	r.failed += result.failed()
	r.took = append(r.took, result.took...)
}

// pruneRow is the result of harmless deletes.
type pruneRow struct {
	setup                           string
	rounds, allowed, denied, failed int
	took                            []time.Duration
	elapsed                         time.Duration
}

func (r *pruneRow) add(result result) {
	r.rounds++
	r.denied += result.denied
	r.failed += result.failed()
	r.allowed += len(result.took) - len(result.errors)
	r.took = append(r.took, result.took...)
}

// String returns the tables in Markdown, in order of the setups.
func (r *report) String() string {
	slices.SortStableFunc(r.races, func(a, b raceRow) int { return strings.Compare(a.setup, b.setup) })
	slices.SortStableFunc(r.prunes, func(a, b pruneRow) int { return strings.Compare(a.setup, b.setup) })
	var text strings.Builder
	fmt.Fprintf(&text, "%s on %d CPUs, which the API server, etcd and kubectl share. Times to an answer in ms; of kubectl, of its run.\n\n", runtime.Version(), runtime.NumCPU())
	text.WriteString("Two changes, of which either is safe and both together isolate nodes:\n\n" +
		"| replicas | changes | rounds | both admitted | one without an answer | one allowed | both denied | errors | p50 | p99 | max | a round |\n" +
		"|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range r.races {
		fmt.Fprintf(&text, "| %s | %s | %d | %d | %d | %d | %d | %d | %s | %s |\n",
			row.setup, row.race, row.rounds, row.both, row.unanswered, row.one, row.none, row.failed, times(row.took), mean(row.elapsed, row.rounds))
	}
	fmt.Fprintf(&text, "\n%d BGPPeers that no node needs, deleted at the same moment, and again after an error:\n\n"+
		"| replicas | rounds | allowed | denied | errors | p50 | p99 | max | a round |\n"+
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|\n", spares)
	for _, row := range r.prunes {
		fmt.Fprintf(&text, "| %s | %d | %d | %d | %d | %s | %s |\n",
			row.setup, row.rounds, row.allowed, row.denied, row.failed, times(row.took), mean(row.elapsed, row.rounds))
	}
	return text.String()
}

// times returns the cells of the median, the nearest-rank 99th percentile and the maximum.
func times(took []time.Duration) string {
	if len(took) == 0 {
		return "| |"
	}
	sorted := slices.Sorted(slices.Values(took))
	rank := func(percent int) time.Duration { return sorted[(len(sorted)*percent+99)/100-1] }
	return ms(rank(50)) + " | " + ms(rank(99)) + " | " + ms(rank(100))
}

func mean(elapsed time.Duration, rounds int) string {
	return ms(elapsed / time.Duration(max(1, rounds)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond)) }
