package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// bench is one control plane with both webhooks.
type bench struct {
	*env.Environment
	options

	// kubeconfig is that of bgpguard's ServiceAccount, token reads its metrics.
	kubeconfig, token string
	// operatorKubeconfig is that of the user who makes changes, "" before the first.
	operatorKubeconfig string
	webhook            *env.Webhook
	guard              *target
	floor              *floor
	others             []*other // that are measured beside bgpguard

	results   *results
	latencies []latency
}

// measureAll measures everything, in a cluster that grows.
func (b *bench) measureAll(ctx context.Context) error {
	nodes := 0
	for _, size := range b.nodes {
		say("%d nodes: create them", size)
		if err := grow(ctx, b.Environment, nodes, size); err != nil {
			return err
		}
		nodes = size
		measure := b.measure
		if b.others != nil {
			measure = b.measureBeside
		}
		if err := measure(ctx, size); err != nil {
			return fmt.Errorf("at %d nodes: %w%s", size, err, b.log())
		}
		if size == largeNodes && b.perNode && b.others == nil {
			if err := b.measurePerNode(ctx); err != nil {
				return fmt.Errorf("with a BGPPeer for each node: %w%s", err, b.log())
			}
		}
	}
	return nil
}

// startBench starts a control plane without Nodes. The caller must stop it.
func startBench(ctx context.Context, o options) (*bench, error) {
	say("start a control plane")
	e, err := env.Start(ctx, env.Options{Groups: []env.Group{env.GroupV1}})
	if err != nil {
		return nil, err
	}
	b := &bench{Environment: e, options: o, results: &results{}}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if err := install(ctx, b.Environment); err != nil {
		return err
	}
	if b.kubeconfig, err = b.ServiceAccountKubeconfig(ctx, namespace, "bgpguard"); err != nil {
		return err
	}
	if b.token, err = b.MetricsToken(ctx); err != nil || b.peers == "" {
		return err
	}
	return b.installOthers(ctx)
}

// Stop ends all processes.
func (b *bench) Stop() error {
	var err error
	for _, o := range b.others {
		err = errors.Join(err, o.Stop())
	}
	if b.floor != nil {
		err = errors.Join(err, b.floor.Stop())
	}
	return errors.Join(err, b.Environment.Stop())
}

// log returns the end of the webhook's log, for an error.
func (b *bench) log() string {
	if b.webhook == nil {
		return ""
	}
	return "; the end of the webhook's log:\n" + b.webhook.Log()
}

// restart starts the webhook as in production, without reservations, and the floor if it does not run. It returns the time
// until the webhook was ready, and returns after its first audit.
func (b *bench) restart(ctx context.Context) (time.Duration, error) {
	if err := b.stopWebhook(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	webhook, err := b.StartWebhook(ctx, env.WebhookOptions{
		Binary: b.options.webhook, Kubeconfig: b.kubeconfig, Args: []string{"--leader-elect", "--request-timeout=" + requestTimeout.String()},
	})
	if err != nil {
		return 0, err
	}
	ready := time.Since(began)
	b.webhook = webhook
	id, err := readIdentity(ctx, b.Environment)
	if err != nil {
		return 0, err
	}
	if b.guard, err = newTarget(webhook.URL, id.ca, isAllowed); err != nil {
		return 0, err
	}
	if b.floor == nil {
		if b.floor, err = startFloor(ctx, b.Environment, id); err != nil {
			return 0, err
		}
	}
	return ready, b.awaitAudit(ctx, 1)
}

// medianStart starts a webhook several times, and returns the median of the times until it was ready.
func (b *bench) medianStart(start func() (time.Duration, error)) (time.Duration, error) {
	var times []time.Duration
	for range b.repetitions {
		ready, err := start()
		if err != nil {
			return 0, err
		}
		times = append(times, ready)
	}
	return median(times), nil
}

// stopWebhook stops the webhook and removes its reservations.
func (b *bench) stopWebhook(ctx context.Context) error {
	if b.webhook != nil {
		if err := b.webhook.Stop(); err != nil {
			return err
		}
	}
	err := b.Client.CoreV1().ConfigMaps(namespace).Delete(ctx, "bgpguard-reservations", metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// auditTimeout is the time limit for an audit to begin and to end.
const auditTimeout = time.Minute

// awaitAudit waits until the webhook has made a number of audits.
func (b *bench) awaitAudit(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	for {
		made, err := b.webhook.Metric(ctx, b.token, auditCount)
		if err == nil && int(made) >= number {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%g of %d audits were made within %s: %w", made, number, auditTimeout, errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// auditCount is the metric that counts audits.
const auditCount = "bgpguard_audit_duration_seconds_count "

// measure measures everything at the present size of the cluster.
func (b *bench) measure(ctx context.Context, nodes int) error {
	say("%d nodes: start the webhooks", nodes)
	ready, err := b.medianStart(func() (time.Duration, error) { return b.restart(ctx) })
	if err != nil {
		return err
	}
	b.results.add(subjectProcess, readySeconds, nodes, ready.Seconds())
	questions, err := readQuestions(ctx, b.Environment, nodes)
	if err != nil {
		return err
	}
	runtime.GC() // The Nodes were made in this process: their garbage must not be collected while something is measured.
	// The mix is measured before the last question, whose reservation stays open: it would count in each decision.
	last := len(questions) - 1
	if err := b.measureQuestions(ctx, nodes, questions[:last]); err != nil {
		return err
	}
	if err := b.measureMix(ctx, nodes, questions); err != nil {
		return err
	}
	if err := b.measureQuestions(ctx, nodes, questions[last:]); err != nil {
		return err
	}
	memory, err := b.webhook.Memory()
	if err != nil {
		return err
	}
	b.results.add(subjectProcess, residentMiB, nodes, float64(memory.Resident)/1024)
	if nodes != largeNodes {
		return nil
	}
	return b.measureAudit(ctx, nodes)
}

// of returns the floor of a question.
func (f *floor) of(kind floorKind) *target {
	if kind == floorOfWrites {
		return f.write
	}
	return f.allow
}

// measureQuestions measures the latencies of questions, in turn for all webhooks.
func (b *bench) measureQuestions(ctx context.Context, nodes int, questions []question) error {
	contenders := []contender{{guardName, b.guard}}
	for _, o := range b.others {
		contenders = append(contenders, contender{o.name, o.target})
	}
	latencies, err := compare(ctx, b.options, nodes, questions, b.floor.of, contenders)
	if err != nil {
		return err
	}
	b.latencies = append(b.latencies, latencies...)
	for _, l := range latencies {
		if b.others == nil {
			b.results.addLatency(l)
		} else {
			b.results.addBeside(l, latencies)
		}
	}
	return nil
}

// auditWindow is longer than the time from a change to the end of its audit, which the webhook delays by 2 s.
const auditWindow = 4 * time.Second

// measureAudit measures the CPU time of the webhook from a change of a BGPPeer to the end of the audit that it causes. What the
// webhook uses in the same time without a change does not count.
func (b *bench) measureAudit(ctx context.Context, nodes int) error {
	say("  %d nodes: audits", nodes)
	var idle, busy []time.Duration
	for i := range b.repetitions {
		made, err := b.webhook.Metric(ctx, b.token, auditCount)
		if err != nil {
			return err
		}
		used, err := b.cpuInWindow(ctx)
		if err != nil {
			return err
		}
		idle = append(idle, used)
		patch := fmt.Sprintf(`--patch={"spec":{"keepOriginalNextHop":%t}}`, i%2 == 0)
		if err := kubectl(ctx, b.Environment, "patch", "bgppeer", rackPeer(0), "--type=merge", patch); err != nil {
			return err
		}
		if used, err = b.cpuInWindow(ctx); err != nil {
			return err
		}
		busy = append(busy, used)
		now, err := b.webhook.Metric(ctx, b.token, auditCount)
		if err != nil {
			return err
		}
		if now != made+1 {
			return fmt.Errorf("%g audits were made within %s of a change, and not 1", now-made, auditWindow)
		}
	}
	// In the first windows the process may still collect the garbage of the load.
	b.results.add(subjectProcess, auditMilliseconds, nodes, max(0, median(busy)-slices.Min(idle)).Seconds()*1000)
	return nil
}

// cpuInWindow returns the CPU time that the webhook uses in auditWindow.
func (b *bench) cpuInWindow(ctx context.Context) (time.Duration, error) {
	before, err := b.webhook.CPU()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(auditWindow):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := b.webhook.CPU()
	return after - before, err
}
