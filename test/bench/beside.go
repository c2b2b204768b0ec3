package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	guardName = "bgpguard"
	floorName = "floor"
	// besideFile is the file with the results of former runs beside other webhooks, from the root of the repository.
	besideFile = "test/bench/peers.md"
)

// besideQuestions are the questions that other webhooks answer, too. No policy of theirs selects Nodes, and the API server
// does not ask them about heartbeats.
var besideQuestions = []string{labelDry, labelReal, updateDry, timerDenied, deleteDenied, meshDenied, updateReal}

// installOthers installs the other webhooks. None of them runs when it returns.
func (b *bench) installOthers(ctx context.Context) error {
	// bgpguard makes the certificate of the floor and of Gatekeeper.
	if _, err := b.restart(ctx); err != nil {
		return err
	}
	id, err := readIdentity(ctx, b.Environment)
	if err != nil {
		return err
	}
	say("install Gatekeeper")
	gatekeeper, err := installGatekeeper(ctx, b.Environment, filepath.Join(b.peers, "gatekeeper"), id)
	if err != nil {
		return err
	}
	say("install Kyverno")
	kyverno, err := installKyverno(ctx, b.Environment, filepath.Join(b.peers, "kyverno"))
	if err != nil {
		return err
	}
	b.others = []*other{gatekeeper, kyverno}
	return nil
}

// measureBeside measures bgpguard and the other webhooks at the present size of the cluster.
func (b *bench) measureBeside(ctx context.Context, nodes int) error {
	questions, err := readQuestions(ctx, b.Environment, nodes)
	if err != nil {
		return err
	}
	questions = slices.DeleteFunc(questions, func(q question) bool { return !slices.Contains(besideQuestions, q.name) })
	if err := b.startAll(ctx, nodes, questions); err != nil {
		return err
	}
	say("  %d nodes: check the answers", nodes)
	// The last question is asked last: its reservation stays open and would count in each decision of bgpguard.
	last := len(questions) - 1
	if err := b.checkGuard(ctx, questions[:last]); err != nil {
		return err
	}
	for _, o := range b.others {
		if err := o.awaitAnswers(ctx, questions, nodes); err != nil {
			return err
		}
	}
	runtime.GC() // As in measure.
	if err := b.measureQuestions(ctx, nodes, questions[:last]); err != nil {
		return err
	}
	if err := b.measureMixBeside(ctx, nodes, questions); err != nil {
		return err
	}
	if err := b.measureQuestions(ctx, nodes, questions[last:]); err != nil {
		return err
	}
	for _, p := range b.processes() {
		memory, err := p.process.Memory()
		if err != nil {
			return err
		}
		b.results.add(p.name, residentMiB, nodes, float64(memory.Resident)/1024)
	}
	return nil
}

// checkGuard checks that bgpguard gives the right answers.
func (b *bench) checkGuard(ctx context.Context, questions []question) error {
	client := b.guard.client()
	defer client.CloseIdleConnections()
	for _, q := range questions {
		if _, err := b.guard.askOnce(ctx, client, q); err != nil {
			return fmt.Errorf("%s, %s: %w", guardName, q.name, err)
		}
	}
	return nil
}

// startAll measures how long the webhooks take to start, and leaves them running. Each starts beside those before it, which are
// idle.
func (b *bench) startAll(ctx context.Context, nodes int, questions []question) error {
	say("%d nodes: start the webhooks", nodes)
	for _, o := range b.others {
		if err := o.Stop(); err != nil {
			return err
		}
	}
	ready, err := b.medianStart(func() (time.Duration, error) { return b.restart(ctx) })
	if err != nil {
		return err
	}
	b.results.add(guardName, readySeconds, nodes, ready.Seconds())
	probe := questions[slices.IndexFunc(questions, func(q question) bool { return q.name == deleteDenied })]
	for _, o := range b.others {
		if ready, err = b.medianStart(func() (time.Duration, error) { return o.restart(ctx, probe, nodes) }); err != nil {
			return err
		}
		b.results.add(o.name, readySeconds, nodes, ready.Seconds())
	}
	return nil
}

// running is a webhook that runs.
type running struct {
	name    string
	process *env.Process
	target  *target
}

// processes returns the webhooks that run.
func (b *bench) processes() []running {
	all := []running{{floorName, b.floor.Process, b.floor.allow}, {guardName, b.webhook.Process, b.guard}}
	for _, o := range b.others {
		all = append(all, running{o.name, o.Process, o.target})
	}
	return all
}

// measureMixBeside measures the CPU time of a request in the mix of dry runs.
func (b *bench) measureMixBeside(ctx context.Context, nodes int, questions []question) error {
	byName := map[string]question{}
	for _, q := range questions {
		byName[q.name] = q
	}
	mix := mixOf(byName[labelDry], byName[updateDry], byName[timerDenied])
	say("  %d nodes: a mix of requests", nodes)
	for _, p := range b.processes() {
		used, err := cpuOf(ctx, b.options, p.process, p.target, mix)
		if err != nil {
			return err
		}
		b.results.add(p.name+": "+mixDry, cpuMilliseconds, nodes, used.Seconds()*1000)
	}
	return nil
}

// addBeside adds what was measured of a question, and how it compares with bgpguard.
func (r *results) addBeside(l latency, all []latency) {
	subject := l.contender + ": " + l.question
	r.add(subject, p50Ratio, l.nodes, l.p50Ratio())
	r.add(subject, p99Ratio, l.nodes, l.p99Ratio())
	r.add(subject, rate, l.nodes, l.perSecond())
	if l.contender == guardName {
		return
	}
	guard := all[slices.IndexFunc(all, func(other latency) bool { return other.contender == guardName && other.question == l.question })]
	r.add(subject, p50OfGuard, l.nodes, median(pairwise(l.one, guard.one, func(own, guard timing) float64 { return float64(own.p50) / float64(guard.p50) })))
	r.add(subject, rateOfGuard, l.nodes, median(pairwise(l.many, guard.many, func(own, guard timing) float64 { return guard.perSecond / own.perSecond })))
}

// pairwise returns a ratio for each two repetitions that were made after each other.
func pairwise(own, guard []repetition, ratio func(own, guard timing) float64) []float64 {
	ratios := make([]float64, len(own))
	for i := range own {
		ratios[i] = ratio(own[i].own, guard[i].own)
	}
	return ratios
}

// besideTables returns a short table for each number of nodes: the median latency of each question in ms with one connection,
// and the values of each process. In parentheses: how many times the value of bgpguard.
func besideTables(latencies []latency, r *results) string {
	var text strings.Builder
	for _, nodes := range r.sizes() {
		var names []string
		rows := map[string]map[string]string{} // by label and webhook
		var labels []string
		add := func(label, name, cell string) {
			if rows[label] == nil {
				rows[label], labels = map[string]string{}, append(labels, label)
			}
			rows[label][name] = cell
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		for _, l := range latencies {
			if l.nodes != nodes {
				continue
			}
			label := l.question + ", ms"
			add(label, floorName, ms(medianOf(l.one, func(r repetition) time.Duration { return r.floor.p50 })))
			own := ms(medianOf(l.one, func(r repetition) time.Duration { return r.own.p50 }))
			if ratio := r.find(l.contender+": "+l.question, p50OfGuard); ratio != nil {
				own += " (" + number(ratio[nodes]) + ")"
			}
			add(label, l.contender, own)
		}
		for _, m := range []metric{residentMiB, readySeconds, cpuMilliseconds} {
			for _, name := range names {
				subject := name
				if m == cpuMilliseconds {
					subject += ": " + mixDry
				}
				if value, ok := r.find(subject, m)[nodes]; ok {
					add(string(m), name, number(value))
				}
			}
		}
		fmt.Fprintf(&text, "| %d nodes | %s |\n|---|%s\n", nodes, strings.Join(names, " | "), strings.Repeat("--:|", len(names)))
		for _, label := range labels {
			cells := make([]string, len(names))
			for i, name := range names {
				cells[i] = rows[label][name]
			}
			fmt.Fprintf(&text, "| %s | %s |\n", label, strings.Join(cells, " | "))
		}
		text.WriteString("\n")
	}
	return text.String()
}
