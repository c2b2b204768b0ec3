package main

import (
	"strings"
	"testing"
)

func TestIsOver(t *testing.T) {
	for _, test := range []struct {
		subject string
		metric  metric
		nodes   int
		value   float64
		want    bool
	}{
		{labelDry, p50Ratio, 100, 1.3, false},
		{labelDry, p50Ratio, 100, 1.31, true},
		{labelDry, p99Ratio, 100, 100, false}, // It has no budget.
		{updateReal, rateRatio, 5000, 0.4, false},
		{updateReal, rateRatio, 5000, 0.39, true},
		{deleteDenied, rate, 10000, 1199, true},
		{deleteDenied, rate, 10000, 1200, false},
		{meshDenied, growth, 10000, 1.31, true},
		{subjectProcess, residentMiB, 5000, 100, false},
		{subjectProcess, residentMiB, 5000, 101, true},
		{subjectProcess, residentMiB, 10000, 101, false},
		{subjectProcess, residentMiB, 10000, 131, true},
		{subjectProcess, residentMiB, 1000, 131, false},
		{mixDry, cpuMilliseconds, 100, 0.51, true},
		{perNodeSubject(forms[0], deleteDenied), cpuMilliseconds, 5000, 5, false},
		{perNodeSubject(forms[1], deleteDenied), p50Milliseconds, 5000, 5.1, true},
	} {
		if got := isOver(test.subject, test.metric, test.nodes, test.value); got != test.want {
			t.Errorf("%s, %s of %g at %d nodes is over its budget: %t, want %t", test.subject, test.metric, test.value, test.nodes, got, test.want)
		}
	}
}

// TestBudgets checks that no budget is shadowed by another one, so that each value is compared with one limit.
func TestBudgets(t *testing.T) {
	type bound struct {
		subject string
		metric  metric
		nodes   int
	}
	seen := map[bound]bool{}
	for _, b := range budgets {
		for _, subject := range b.subjects {
			key := bound{subject, b.metric, b.nodes}
			if seen[key] {
				t.Errorf("two budgets for %s of %s", b.metric, subject)
			}
			seen[key] = true
		}
	}
}

func TestBudgetTable(t *testing.T) {
	before := someEntry("0123456789ab")
	now := someResults()
	now.add(labelDry, p50Ratio, 5000, 2)
	now.add(labelDry, growth, 5000, 1.6)
	table := budgetTable(now, before)
	for _, want := range []string{
		"0123456789ab (a processor, 2 CPUs)",
		"| what | measure | budget | 100 | 5000 |\n|---|---|---|--:|--:|\n",
		"| " + labelDry + " | p50 / floor | ≤ 1.30 | 1.25 (+0 %) | **2** (-20 %) |\n",
		"| process | resident memory after the load, MiB | ≤ 100 at 5000, ≤ 130 at 10000 | | **101** (+0 %) |\n",
		"| ≤ 1.30 | | **1.60** |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in:\n%s", want, table)
		}
	}
	if first := budgetTable(now, entry{}); strings.Contains(first, "%") {
		t.Errorf("without another run, differences from it:\n%s", first)
	}
}

func TestGrowth(t *testing.T) {
	r := &results{}
	r.add(deleteDenied, p50Ratio, 1000, 6)
	r.add(deleteDenied, p50Ratio, 100, 4)
	r.add(deleteDenied, p99Ratio, 100, 9)
	r.addGrowth()
	if got := r.find(deleteDenied, growth); len(got) != 1 || got[1000] != 1.5 {
		t.Errorf("the growth is %v, want 1.5 at 1,000 nodes", got)
	}
}

func TestMix(t *testing.T) {
	counts := map[string]int{}
	for _, q := range mixOf(question{name: "unread"}, question{name: "allowed"}, question{name: "denied"}) {
		counts[q.name]++
	}
	if counts["unread"] != 16 || counts["allowed"] != 3 || counts["denied"] != 1 {
		t.Errorf("of 20 questions, %v", counts)
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 0.004: "0", 1.3: "1.30", 2: "2", 9.99: "9.99", 12.34: "12.3", 50: "50", 99.97: "100", 1234.5: "1234"} {
		if got := number(value); got != want {
			t.Errorf("%g is written %q, want %q", value, got, want)
		}
	}
}
