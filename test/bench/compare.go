package main

import (
	"context"
	"net/http"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

// manyConnections is the number of connections at which requests per second are measured.
const manyConnections = 8

// contender is a webhook that is compared with the floor.
type contender struct {
	name   string
	target *target
}

// repetition is what one repetition measured, right after each other.
type repetition struct{ floor, own timing }

// latency is the times of one question at one size: with one connection, and with many.
type latency struct {
	question  string
	contender string
	nodes     int
	one, many []repetition
}

// The ratios are medians of the ratios in each repetition, so that a change of the load of the machine between repetitions
// does not matter.

func (l latency) p50Ratio() float64 {
	return medianOf(l.one, func(r repetition) float64 { return float64(r.own.p50) / float64(r.floor.p50) })
}

func (l latency) p99Ratio() float64 {
	return medianOf(l.one, func(r repetition) float64 { return float64(r.own.p99) / float64(r.floor.p99) })
}

func (l latency) rateRatio() float64 {
	return medianOf(l.many, func(r repetition) float64 { return r.own.perSecond / r.floor.perSecond })
}

func (l latency) perSecond() float64 {
	return medianOf(l.many, func(r repetition) float64 { return r.own.perSecond })
}

// compare sends each question to the contenders, and one of the questions with the same floor to the floor, in turn.
func compare(ctx context.Context, o options, nodes int, questions []question, floors func(floorKind) *target, contenders []contender) ([]latency, error) {
	var all []latency
	for _, group := range byFloor(questions) {
		floor := floors(group[0].floor)
		say("  %d nodes: %d questions about a %s", nodes, len(group), group[0].floor)
		latencies := make([]latency, 0, len(group)*len(contenders))
		for _, q := range group {
			for _, c := range contenders {
				latencies = append(latencies, latency{question: q.name, contender: c.name, nodes: nodes})
			}
		}
		for range o.repetitions {
			for _, connections := range []int{1, manyConnections} {
				least, err := floor.measure(ctx, group[0], connections, o.duration)
				if err != nil {
					return nil, err
				}
				for i, q := range group {
					for j, c := range contenders {
						own, err := c.target.measure(ctx, q, connections, o.duration)
						if err != nil {
							return nil, err
						}
						l := &latencies[i*len(contenders)+j]
						if connections == 1 {
							l.one = append(l.one, repetition{least, own})
						} else {
							l.many = append(l.many, repetition{least, own})
						}
					}
				}
			}
		}
		all = append(all, latencies...)
	}
	return all, nil
}

// byFloor returns the questions in groups with the same floor, which must follow each other.
func byFloor(questions []question) [][]question {
	var groups [][]question
	var before floorKind
	for _, q := range questions {
		if q.floor != before {
			groups, before = append(groups, nil), q.floor
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], q)
	}
	return groups
}

// cpuOf returns the CPU time that a process uses for a request, when it answers a sequence of questions on one connection.
func cpuOf(ctx context.Context, o options, process *env.Process, t *target, sequence []question) (time.Duration, error) {
	clients := []*http.Client{t.client()}
	defer clients[0].CloseIdleConnections()
	next := func(asked int) question { return sequence[asked%len(sequence)] }
	var used []time.Duration
	for range o.repetitions + 1 {
		before, err := process.CPU()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		latencies, err := t.ask(ctx, clients, next, func(asked int) bool { return asked < len(sequence) || time.Since(began) < o.duration })
		if err != nil {
			return 0, err
		}
		after, err := process.CPU()
		if err != nil {
			return 0, err
		}
		used = append(used, (after-before)/time.Duration(len(latencies)))
	}
	return median(used[1:]), nil // The first one is the warm-up.
}
