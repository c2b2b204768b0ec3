package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	guardName = "bgpguard"
	// besideFile is the file with the results of former runs beside other webhooks, from the root of the repository.
	besideFile = "test/bench/peers.md"
)

// besideQuestions are the questions that other webhooks answer, too. No policy of theirs selects Nodes, and the API server
// does not ask them about heartbeats.
var besideQuestions = []string{labelDry, labelReal, updateDry, timerDenied, deleteDenied, meshDenied, updateReal}

// prepareBeside installs the other webhooks.
func (b *bench) prepareBeside(ctx context.Context) error {
	// bgpguard makes the certificate that all use.
	if _, err := b.restart(ctx); err != nil {
		return err
	}
	id, err := readIdentity(ctx, b.Environment)
	if err != nil {
		return err
	}
	say("install Gatekeeper")
	b.gatekeeper, err = installGatekeeper(ctx, b.Environment, b.options.gatekeeper, id)
	return err
}

// measureBeside measures bgpguard and the other webhooks at the present size of the cluster.
func (b *bench) measureBeside(ctx context.Context, nodes int) error {
	if err := b.startAll(ctx, nodes); err != nil {
		return err
	}
	questions, err := readQuestions(ctx, b.Environment, nodes)
	if err != nil {
		return err
	}
	questions = slices.DeleteFunc(questions, func(q question) bool { return !slices.Contains(besideQuestions, q.name) })
	say("  %d nodes: check the answers", nodes)
	if err := b.gatekeeper.awaitSync(ctx, questions, nodes); err != nil {
		return err
	}
	client := b.guard.client()
	defer client.CloseIdleConnections()
	for _, q := range questions {
		if _, err := b.guard.askOnce(ctx, client, q); err != nil {
			return fmt.Errorf("bgpguard, %s: %w", q.name, err)
		}
	}
	runtime.GC() // As in measure.
	latencies, err := compare(ctx, b.options, nodes, questions, b.floor.of, []contender{{guardName, b.guard}, {gatekeeperName, b.gatekeeper.target}})
	if err != nil {
		return err
	}
	b.latencies = append(b.latencies, latencies...)
	for _, l := range latencies {
		b.results.addBeside(l, latencies)
	}
	return b.measureProcesses(ctx, nodes, questions)
}

// startAll measures how long the webhooks take to start, and leaves them running: first bgpguard alone, then Gatekeeper beside
// bgpguard, which is idle after its first audit.
func (b *bench) startAll(ctx context.Context, nodes int) error {
	say("%d nodes: start the webhooks", nodes)
	if err := b.gatekeeper.Stop(); err != nil {
		return err
	}
	id, err := readIdentity(ctx, b.Environment)
	if err != nil {
		return err
	}
	for _, of := range []struct {
		name  string
		start func() (time.Duration, error)
	}{
		{guardName, func() (time.Duration, error) { return b.restart(ctx) }},
		{gatekeeperName, func() (time.Duration, error) { return b.gatekeeper.restart(ctx, b.Environment, id) }},
	} {
		ready, err := b.medianStart(of.start)
		if err != nil {
			return err
		}
		b.results.add(of.name, readySeconds, nodes, ready.Seconds())
	}
	return nil
}

// measureProcesses measures the CPU time of a request in the mix, and the memory after all requests.
func (b *bench) measureProcesses(ctx context.Context, nodes int, questions []question) error {
	byName := map[string]question{}
	for _, q := range questions {
		byName[q.name] = q
	}
	mix := mixOf(byName[labelDry], byName[updateDry], byName[timerDenied])
	say("  %d nodes: a mix of requests", nodes)
	for _, of := range []struct {
		name    string
		process *env.Process
		target  *target
	}{
		{"floor", b.floor.Process, b.floor.allow},
		{guardName, b.webhook.Process, b.guard},
		{gatekeeperName, b.gatekeeper.Process, b.gatekeeper.target},
	} {
		used, err := cpuOf(ctx, b.options, of.process, of.target, mix)
		if err != nil {
			return err
		}
		b.results.add(of.name+": "+mixDry, cpuMilliseconds, nodes, used.Seconds()*1000)
		memory, err := of.process.Memory()
		if err != nil {
			return err
		}
		b.results.add(of.name, residentMiB, nodes, float64(memory.Resident)/1024)
	}
	return nil
}

// addBeside adds what was measured of a question, and its ratio to bgpguard's.
func (r *results) addBeside(l latency, all []latency) {
	subject := l.contender + ": " + l.question
	r.add(subject, p50Ratio, l.nodes, l.p50Ratio())
	r.add(subject, p99Ratio, l.nodes, l.p99Ratio())
	r.add(subject, rateRatio, l.nodes, l.rateRatio())
	r.add(subject, rate, l.nodes, l.perSecond())
	guard := slices.IndexFunc(all, func(other latency) bool { return other.contender == guardName && other.question == l.question })
	if l.contender == guardName || guard < 0 {
		return
	}
	r.add(subject, p50OfGuard, l.nodes, l.p50Of(all[guard]))
	r.add(subject, rateOfGuard, l.nodes, l.rateBelow(all[guard]))
}

// p50Of returns the median of the ratios of the median latencies in each repetition.
func (l latency) p50Of(other latency) float64 {
	return median(pairwise(l.one, other.one, func(own, other timing) float64 { return float64(own.p50) / float64(other.p50) }))
}

// rateBelow returns the median of the ratios of the other's requests per second to its own in each repetition.
func (l latency) rateBelow(other latency) float64 {
	return median(pairwise(l.many, other.many, func(own, other timing) float64 { return other.perSecond / own.perSecond }))
}

// pairwise returns the ratio of each two repetitions that were made after each other.
func pairwise(own, other []repetition, ratio func(own, other timing) float64) []float64 {
	ratios := make([]float64, len(own))
	for i := range own {
		ratios[i] = ratio(own[i].own, other[i].own)
	}
	return ratios
}
