package main

import (
	"cmp"
	"slices"
	"time"
)

// percentile returns the nearest-rank percentile of at least one latency.
func percentile(sorted []time.Duration, percent int) time.Duration {
	rank := (len(sorted)*percent + 99) / 100
	return sorted[rank-1]
}

// median returns the median of at least one value: of an even number of values, the upper one of the two in the middle.
func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// medianOf returns the median of what value returns for each of at least one item.
func medianOf[E any, T cmp.Ordered](items []E, value func(E) T) T {
	values := make([]T, len(items))
	for i, item := range items {
		values[i] = value(item)
	}
	return median(values)
}
