package main

import (
	"maps"
	"slices"
)

// results are the values of a run.
type results struct{ rows []row }

// row is the values of a metric of a subject, by number of nodes.
type row struct {
	subject string
	metric  metric
	values  map[int]float64
}

// add adds a value. The rows are in the order in which their first values were added.
func (r *results) add(subject string, m metric, nodes int, value float64) {
	values := r.find(subject, m)
	if values == nil {
		values = map[int]float64{}
		r.rows = append(r.rows, row{subject, m, values})
	}
	values[nodes] = value
}

// find returns the values of a metric, nil if there are none.
func (r *results) find(subject string, m metric) map[int]float64 {
	for _, row := range r.rows {
		if row.subject == subject && row.metric == m {
			return row.values
		}
	}
	return nil
}

// addLatency adds what was measured of a question.
func (r *results) addLatency(l latency) {
	r.add(l.question, p50Ratio, l.nodes, l.p50Ratio())
	r.add(l.question, p99Ratio, l.nodes, l.p99Ratio())
	r.add(l.question, rateRatio, l.nodes, l.rateRatio())
	r.add(l.question, rate, l.nodes, l.perSecond())
}

// addGrowth compares the median latency of each question at each size with that at the smallest size.
func (r *results) addGrowth() {
	for _, row := range slices.Clone(r.rows) {
		if row.metric != p50Ratio {
			continue
		}
		sizes := slices.Sorted(maps.Keys(row.values))
		for _, size := range sizes[1:] {
			r.add(row.subject, growth, size, row.values[size]/row.values[sizes[0]])
		}
	}
}

// sizes returns the numbers of nodes, in order.
func (r *results) sizes() []int {
	all := map[int]bool{}
	for _, row := range r.rows {
		for size := range row.values {
			all[size] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
