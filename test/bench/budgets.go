package main

import (
	"fmt"
	"slices"
	"strings"
)

// The further subjects of measurements; the others are questions.
const (
	subjectProcess = "process"
	mixDry         = "mix of requests, dry run"
	mixReal        = "mix of requests, through the API server"
	mixOfFloor     = "mix of requests, answered by the floor"
)

// metric is what is measured of a subject, with its unit. The floor is the webhook that allows everything.
type metric string

const (
	p50Ratio          metric = "p50 / floor"
	p99Ratio          metric = "p99 / floor"
	rateRatio         metric = "requests/s at 8 connections / floor"
	rate              metric = "requests/s at 8 connections"
	growth            metric = "p50 / floor, / that of the fewest nodes"
	p50Milliseconds   metric = "p50, ms"
	cpuMilliseconds   metric = "CPU of a request, ms"
	residentMiB       metric = "resident memory after the load, MiB"
	readySeconds      metric = "start to ready, s"
	auditMilliseconds metric = "CPU of an audit of everything, ms"
	// Of a webhook that is measured beside bgpguard: how many times bgpguard is faster.
	p50OfGuard  metric = "p50 / p50 of bgpguard"
	rateOfGuard metric = "requests/s at 8 connections of bgpguard / its own"
)

// budget bounds a metric of some subjects.
type budget struct {
	subjects []string // of all subjects if it is nil
	metric   metric
	limit    float64
	atLeast  bool // the limit is a minimum
	nodes    int  // at this number of nodes only, unless it is 0
}

var (
	unread  = []string{labelDry, labelReal, heartbeatDry, heartbeatReal}
	allowed = []string{updateDry, updateReal}
	denied  = []string{timerDenied, deleteDenied, meshDenied}
)

// budgets are the project's budgets.
var budgets = []budget{
	{subjects: unread, metric: p50Ratio, limit: 1.3},
	{subjects: allowed, metric: p50Ratio, limit: 2},
	{subjects: allowed, metric: p99Ratio, limit: 3},
	{subjects: allowed, metric: rateRatio, limit: 0.4, atLeast: true},
	{subjects: denied, metric: p50Ratio, limit: 6},
	{subjects: denied, metric: p99Ratio, limit: 8},
	{subjects: denied, metric: rate, limit: 1200, atLeast: true},
	{metric: growth, limit: 1.3},
	{metric: p50Milliseconds, limit: 5},
	{metric: cpuMilliseconds, subjects: perNodeSubjects(), limit: 5},
	{metric: cpuMilliseconds, subjects: []string{mixDry, mixReal}, limit: 0.5},
	{metric: residentMiB, subjects: []string{subjectProcess}, nodes: largeNodes, limit: 100},
	{metric: residentMiB, subjects: []string{subjectProcess}, nodes: maxNodes, limit: 130},
	{metric: readySeconds, nodes: largeNodes, limit: 2},
	{metric: auditMilliseconds, nodes: largeNodes, limit: 20},
}

// over reports whether a value exceeds the budget.
func (b budget) over(value float64) bool {
	if b.atLeast {
		return value < b.limit
	}
	return value > b.limit
}

// bounds reports whether the budget is one of the subject and metric.
func (b budget) bounds(subject string, m metric) bool {
	return b.metric == m && (b.subjects == nil || slices.Contains(b.subjects, subject))
}

// String returns the bound as the table shows it.
func (b budget) String() string {
	text := "≤ " + number(b.limit)
	if b.atLeast {
		text = "≥ " + number(b.limit)
	}
	if b.nodes > 0 {
		text += fmt.Sprintf(" at %d", b.nodes)
	}
	return text
}

// budgetsOf returns the budgets of a subject and metric as text.
func budgetsOf(subject string, m metric) string {
	var texts []string
	for _, b := range budgets {
		if b.bounds(subject, m) {
			texts = append(texts, b.String())
		}
	}
	return strings.Join(texts, ", ")
}

// isOver reports whether a value exceeds a budget.
func isOver(subject string, m metric, nodes int, value float64) bool {
	for _, b := range budgets {
		if b.bounds(subject, m) && (b.nodes == 0 || b.nodes == nodes) && b.over(value) {
			return true
		}
	}
	return false
}
