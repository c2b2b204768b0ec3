package main

import (
	"strings"
	"testing"
	"time"
)

const otherName = "other"

// besideLatencies is one question, answered by both: the machine was ten times slower in the second repetition.
func besideLatencies() []latency {
	at := func(floor, own time.Duration) repetition {
		return repetition{timing{floor, floor, 1 / floor.Seconds()}, timing{own, own, 1 / own.Seconds()}}
	}
	of := func(contender string, first, second time.Duration) latency {
		repetitions := []repetition{at(time.Millisecond, first), at(10*time.Millisecond, second), at(time.Millisecond, first)}
		return latency{question: updateDry, contender: contender, nodes: 5000, one: repetitions, many: repetitions}
	}
	return []latency{of(guardName, 2*time.Millisecond, 20*time.Millisecond), of(otherName, 10*time.Millisecond, 100*time.Millisecond)}
}

func TestAddBeside(t *testing.T) {
	r := &results{}
	latencies := besideLatencies()
	for _, l := range latencies {
		r.addBeside(l, latencies)
	}
	for _, test := range []struct {
		contender string
		metric    metric
		want      float64
	}{
		{guardName, p50Ratio, 2},
		{otherName, p50Ratio, 10},
		{otherName, p99Ratio, 10},
		{otherName, rate, 100},
		{otherName, p50OfGuard, 5},
		{otherName, rateOfGuard, 5},
	} {
		got := r.find(test.contender+": "+updateDry, test.metric)[5000]
		if difference := got - test.want; difference < -1e-6 || difference > 1e-6 {
			t.Errorf("%s, %s is %g, want %g", test.contender, test.metric, got, test.want)
		}
	}
	if r.find(guardName+": "+updateDry, p50OfGuard) != nil {
		t.Error("bgpguard is compared with itself")
	}
}

func TestBesideTables(t *testing.T) {
	r := &results{}
	latencies := besideLatencies()
	for _, l := range latencies {
		r.addBeside(l, latencies)
	}
	r.add(floorName, residentMiB, 5000, 40)
	r.add(otherName, residentMiB, 5000, 900)
	r.add(guardName+": "+mixDry, cpuMilliseconds, 5000, 0.5)
	r.add(guardName, readySeconds, 100, 1) // At another size.
	const want = "| 5000 nodes | floor | bgpguard | other |\n" +
		"|---|--:|--:|--:|\n" +
		"| BGPPeer update, allowed, dry run, ms | 1 | 2 | 10 (5) |\n" +
		"| resident memory after the load, MiB | 40 |  | 900 |\n" +
		"| CPU of a request, ms |  | 0.50 |  |\n\n"
	if got := besideTables(latencies, r); !strings.HasSuffix(got, want) {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

// TestBudgetsAreForBgpguardAlone checks that a run beside other webhooks neither compares with an entry of history.md nor shows
// a value of another webhook as over a budget.
func TestBudgetsAreForBgpguardAlone(t *testing.T) {
	r := &results{}
	r.add(otherName, readySeconds, largeNodes, 100)
	past := []entry{{commit: "0123", results: r}}
	alone, beside := options{}, options{peers: "bin"}
	if file := beside.historyFile(); file != besideFile {
		t.Errorf("the history is %s", file)
	}
	if file := alone.historyFile(); file != historyFile {
		t.Errorf("the history is %s", file)
	}
	if table := beside.table(nil, r, past); strings.Contains(table, "**") || strings.Contains(table, "0123") {
		t.Errorf("the table has a budget or a difference:\n%s", table)
	}
	if table := alone.table(nil, r, past); !strings.Contains(table, "**") || !strings.Contains(table, "0123") {
		t.Errorf("the table has no budget or no difference:\n%s", table)
	}
}

// TestBesideHistory reads the file of the repository.
func TestBesideHistory(t *testing.T) {
	entries, err := readHistory("peers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.machine == "" || e.results.find("Gatekeeper", residentMiB) == nil {
			t.Errorf("the entry of commit %s has machine %q and no memory of Gatekeeper", e.commit, e.machine)
		}
	}
}
