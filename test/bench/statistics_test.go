package main

import (
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	sorted := make([]time.Duration, 200)
	for i := range sorted {
		sorted[i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		values  []time.Duration
		percent int
		want    time.Duration
	}{
		{sorted, 50, 100},
		{sorted, 99, 198},
		{sorted[:100], 99, 99},
		{sorted[:99], 99, 99},
		{sorted[:3], 50, 2},
		{sorted[:2], 50, 1},
		{sorted[:1], 50, 1},
		{sorted[:1], 99, 1},
	} {
		if got := percentile(test.values, test.percent); got != test.want {
			t.Errorf("percentile %d of %d values is %d, want %d", test.percent, len(test.values), got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	values := []int{9, 1, 5}
	if got := median(values); got != 5 {
		t.Errorf("the median of %v is %d", values, got)
	}
	if values[0] != 9 {
		t.Error("median has sorted its argument")
	}
	if got := median([]int{4, 3, 1, 2}); got != 3 {
		t.Errorf("the median of four values is %d, want the upper one of those in the middle, 3", got)
	}
}

// TestRatiosArePaired checks that a ratio is the median of the ratios in each repetition: here the machine was ten times
// slower in the last one.
func TestRatiosArePaired(t *testing.T) {
	at := func(floor, own time.Duration) repetition {
		return repetition{
			timing{p50: floor, p99: 2 * floor, perSecond: 1 / floor.Seconds()},
			timing{p50: own, p99: 4 * own, perSecond: 1 / own.Seconds()},
		}
	}
	repetitions := []repetition{at(time.Millisecond, 2*time.Millisecond), at(2*time.Millisecond, 6*time.Millisecond), at(10*time.Millisecond, 40*time.Millisecond)}
	l := latency{one: repetitions, many: repetitions}
	for name, value := range map[string]struct{ got, want float64 }{
		"p50":       {l.p50Ratio(), 3},
		"p99":       {l.p99Ratio(), 6},
		"rate":      {l.rateRatio(), 1. / 3},
		"perSecond": {l.perSecond(), 1000. / 6},
	} {
		if difference := value.got - value.want; difference < -1e-6 || difference > 1e-6 {
			t.Errorf("%s is %g, want %g", name, value.got, value.want)
		}
	}
}
