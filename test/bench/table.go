package main

import (
	"fmt"
	"strings"
	"time"
)

// The project's budgets.
const (
	maxLatencyRatio = 2
	minRateRatio    = 0.5
	rateConnections = 8
	maxResidentMiB  = 100
	residentNodes   = 5000
	maxReady        = 3 * time.Second
)

// latencyTable compares both webhooks question by question.
func latencyTable(reports []report) string {
	var text strings.Builder
	text.WriteString("Latency in ms: floor, bgpguard and their ratio.\n\n" +
		"| nodes | question | connections | p50 | | × | p99 | | × | requests/s | | × |\n" +
		"|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range reports {
		for _, row := range r.rows {
			p50 := float64(row.guard.p50) / float64(row.floor.p50)
			p99 := float64(row.guard.p99) / float64(row.floor.p99)
			rate := row.guard.perSecond / row.floor.perSecond
			fmt.Fprintf(&text, "| %d | %s | %d | %s | %s | %s | %s | %s | %s | %.0f | %.0f | %s |\n",
				r.nodes, row.question, row.connections,
				ms(row.floor.p50), ms(row.guard.p50), mark(fmt.Sprintf("%.2f", p50), p50 > maxLatencyRatio),
				ms(row.floor.p99), ms(row.guard.p99), mark(fmt.Sprintf("%.2f", p99), p99 > maxLatencyRatio),
				row.floor.perSecond, row.guard.perSecond,
				mark(fmt.Sprintf("%.2f", rate), row.connections == rateConnections && rate < minRateRatio))
		}
	}
	return text.String()
}

// processTable compares start time and memory of the processes.
func processTable(reports []report) string {
	var text strings.Builder
	text.WriteString("Resident memory in MiB, after the start, after the load, and at its peak; bgpguard's time from its start to ready,\n" +
		"its first certificate and the token that it runs with included.\n\n" +
		"| nodes | bytes of a Node | floor: start | load | peak | bgpguard: start | load | peak | ready in s |\n" +
		"|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range reports {
		bounded := r.nodes <= residentNodes
		guard := func(mib float64) string { return mark(fmt.Sprintf("%.0f", mib), bounded && mib > maxResidentMiB) }
		fmt.Fprintf(&text, "| %d | %d | %.0f | %.0f | %.0f | %s | %s | %s | %s |\n",
			r.nodes, r.nodeBytes, r.floor.started.resident, r.floor.loaded.resident, r.floor.loaded.peak,
			guard(r.guard.started.resident), guard(r.guard.loaded.resident), guard(r.guard.loaded.peak),
			mark(fmt.Sprintf("%.2f", r.ready.Seconds()), bounded && r.ready > maxReady))
	}
	return text.String()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

// mark makes values over budget bold.
func mark(text string, over bool) string {
	if over {
		return "**" + text + "**"
	}
	return text
}
