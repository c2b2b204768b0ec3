package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// latencyTable has the times of each question.
func latencyTable(latencies []latency) string {
	var text strings.Builder
	text.WriteString("| nodes | question | floor p50, ms | p99, ms | requests/s at 8 connections | webhook | p50, ms | p99, ms | requests/s at 8 connections |\n" +
		"|--:|---|--:|--:|--:|---|--:|--:|--:|\n")
	for _, l := range latencies {
		of := func(pick func(repetition) timing) string {
			return fmt.Sprintf("%s | %s | %s",
				ms(medianOf(l.one, func(r repetition) time.Duration { return pick(r).p50 })),
				ms(medianOf(l.one, func(r repetition) time.Duration { return pick(r).p99 })),
				number(medianOf(l.many, func(r repetition) float64 { return pick(r).perSecond })))
		}
		fmt.Fprintf(&text, "| %d | %s | %s | %s | %s |\n", l.nodes, l.question,
			of(func(r repetition) timing { return r.floor }), l.contender, of(func(r repetition) timing { return r.own }))
	}
	return text.String()
}

// budgetTable has all values, those over their budget in bold, with the differences from another run.
func budgetTable(r *results, before entry) string {
	var text strings.Builder
	text.WriteString("Values over their budget are bold.")
	if before.results != nil {
		fmt.Fprintf(&text, " In parentheses: the difference from %s (%s).", before.commit, before.machine)
	}
	text.WriteString("\n\n")
	writeTable(&text, r, "budget", func(row row) string { return budgetsOf(row.subject, row.metric) }, func(row row, nodes int, value float64) string {
		cell := number(value)
		if isOver(row.subject, row.metric, nodes, value) {
			cell = "**" + cell + "**"
		}
		if before.results != nil {
			if old := before.results.find(row.subject, row.metric)[nodes]; old > 0 {
				cell += fmt.Sprintf(" (%+.0f %%)", (value-old)/old*100)
			}
		}
		return cell
	})
	return text.String()
}

// historyTable has all values, for the history.
func historyTable(r *results) string {
	var text strings.Builder
	writeTable(&text, r, "", nil, func(_ row, _ int, value float64) string { return number(value) })
	return text.String()
}

// writeTable writes a table with a row for each metric, a column for each number of nodes, and a column before them if it
// has a title.
func writeTable(text *strings.Builder, r *results, title string, column func(row) string, cell func(row, int, float64) string) {
	sizes := r.sizes()
	heading, line := "| what | measure |", "|---|---|"
	if title != "" {
		heading, line = heading+" "+title+" |", line+"---|"
	}
	for _, size := range sizes {
		heading, line = heading+" "+strconv.Itoa(size)+" |", line+"--:|"
	}
	text.WriteString(heading + "\n" + line + "\n")
	for _, row := range r.rows {
		fmt.Fprintf(text, "| %s | %s |", row.subject, row.metric)
		if title != "" {
			text.WriteString(" " + column(row) + " |")
		}
		for _, size := range sizes {
			text.WriteString(" ")
			if value, ok := row.values[size]; ok {
				text.WriteString(cell(row, size, value) + " ")
			}
			text.WriteString("|")
		}
		text.WriteString("\n")
	}
}

func ms(d time.Duration) string { return number(d.Seconds() * 1000) }

// number returns a value with two decimals, fewer if it is large or whole.
func number(value float64) string {
	decimals := 2
	switch {
	case value >= 100:
		decimals = 0
	case value >= 10:
		decimals = 1
	}
	text := strconv.FormatFloat(value, 'f', decimals, 64)
	return strings.TrimSuffix(text, "."+strings.Repeat("0", decimals))
}
