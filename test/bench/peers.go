package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/env"
)

// gatekeeperDir is the directory of what Gatekeeper evaluates, from the root of the repository.
const gatekeeperDir = "test/bench/gatekeeper"

// gatekeeperTimeout is the time limit for the start of Gatekeeper, which reads all Nodes.
const gatekeeperTimeout = 2 * time.Minute

// peer is what was measured at one size.
type peer struct {
	nodes                       int
	latencies                   []latency
	guardReady, gatekeeperReady time.Duration
	guard, gatekeeper           env.Memory
}

// measurePeers compares bgpguard with its default install, and Gatekeeper with the three policies in gatekeeperDir: the same
// cluster, the same questions, in turn.
func measurePeers(ctx context.Context, o options) (peers []peer, err error) {
	b, err := startBench(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	say("install Gatekeeper's definitions")
	if err := installGatekeeper(ctx, b); err != nil {
		return nil, err
	}
	nodes := 0
	for _, size := range o.nodes {
		say("%d nodes: create them", size)
		if err := grow(ctx, b.Environment, nodes, size); err != nil {
			return nil, err
		}
		nodes = size
		p, err := b.measurePeer(ctx, size)
		if err != nil {
			return nil, fmt.Errorf("at %d nodes: %w%s", size, err, b.log())
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// installGatekeeper creates Gatekeeper's definitions, the policies and the constraints. The definition of each kind of
// constraints is created by Gatekeeper itself, when it runs.
func installGatekeeper(ctx context.Context, b *bench) error {
	definitions, err := definitionsIn(b.options.gatekeeperManifest)
	if err != nil {
		return err
	}
	if err := apply(ctx, b.Environment, definitions); err != nil {
		return err
	}
	if err := kubectl(ctx, b.Environment, "wait", "--for=condition=Established", "--timeout=1m", "crd", "--all"); err != nil {
		return err
	}
	for _, file := range []string{"policies.yaml", "sync.yaml"} {
		if err := kubectl(ctx, b.Environment, "apply", "-f", filepath.Join(gatekeeperDir, file)); err != nil {
			return err
		}
	}
	g, _, err := startGatekeeper(ctx, b, "--operation=webhook", "--operation=generate", "--operation=status")
	if err != nil {
		return err
	}
	deadline := time.Now().Add(gatekeeperTimeout)
	for {
		err := kubectl(ctx, b.Environment, "apply", "-f", filepath.Join(gatekeeperDir, "constraints.yaml"))
		if err == nil {
			return g.Stop()
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("Gatekeeper does not serve the constraints: %w; the end of its log:\n%s", err, g.Log()), g.Stop())
		}
		time.Sleep(time.Second)
	}
}

// definitionsIn returns the CustomResourceDefinitions and Namespaces in a file of manifests.
func definitionsIn(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var kept [][]byte
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var object struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		if object.Kind == "CustomResourceDefinition" || object.Kind == "Namespace" {
			kept = append(kept, document)
		}
	}
	if len(kept) == 0 {
		return "", fmt.Errorf("%s has no CustomResourceDefinition", path)
	}
	return string(bytes.Join(kept, []byte("\n---\n"))), nil
}

// gatekeeper is a running Gatekeeper.
type gatekeeper struct {
	*env.Process

	target *target
}

// startGatekeeper starts Gatekeeper with the certificate of bgpguard, and returns the time until it was ready. The caller must
// stop it.
func startGatekeeper(ctx context.Context, b *bench, operations ...string) (*gatekeeper, time.Duration, error) {
	id, err := readIdentity(ctx, b.Environment)
	if err != nil {
		return nil, 0, err
	}
	dir, err := id.write(b.Dir)
	if err != nil {
		return nil, 0, err
	}
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	health, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	g := &gatekeeper{}
	if g.target, err = newTarget(fmt.Sprintf("https://localhost:%d/v1/admit", port), id.ca, func(q question) bool { return q.allowed }); err != nil {
		return nil, 0, err
	}
	probes := "127.0.0.1:" + strconv.Itoa(health)
	command := exec.Command(b.options.gatekeeper, append([]string{
		"--kubeconfig=" + b.Admin.Kubeconfig, "--debug-use-fake-pod", "--host=127.0.0.1", "--port=" + strconv.Itoa(port),
		"--health-addr=" + probes, "--prometheus-port=0", "--disable-cert-rotation", "--cert-dir=" + dir,
		"--disable-opa-builtin={http.send}", "--shutdown-delay=0", "--log-level=WARNING",
	}, operations...)...)
	command.Env = append(os.Environ(), "POD_NAME=gatekeeper", "POD_NAMESPACE=gatekeeper-system")
	began := time.Now()
	if g.Process, err = env.Launch(b.Dir, "gatekeeper", command); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, gatekeeperTimeout)
	defer cancel()
	if err := g.AwaitReady(ctx, "http://"+probes); err != nil {
		return nil, 0, err
	}
	return g, time.Since(began), nil
}

// measurePeer measures both webhooks at the present size.
func (b *bench) measurePeer(ctx context.Context, nodes int) (p peer, err error) {
	p.nodes = nodes
	if p.guardReady, err = b.restart(ctx); err != nil {
		return p, err
	}
	say("%d nodes: start Gatekeeper", nodes)
	g, ready, err := startGatekeeper(ctx, b, "--operation=webhook")
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, g.Stop()) }()
	p.gatekeeperReady = ready
	questions, err := readQuestions(ctx, b.Environment, nodes)
	if err != nil {
		return p, err
	}
	questions = slices.DeleteFunc(questions, func(q question) bool { return q.floor != floorOfCalico })
	p.latencies, err = compare(ctx, b.options, nodes, questions, b.floor.of, []contender{{"bgpguard", b.guard}, {"Gatekeeper", g.target}})
	if err != nil {
		return p, fmt.Errorf("%w; the end of Gatekeeper's log:\n%s", err, g.Log())
	}
	if p.guard, err = b.webhook.Memory(); err != nil {
		return p, err
	}
	p.gatekeeper, err = g.Memory()
	return p, err
}

// peersTable compares bgpguard and Gatekeeper. The latencies of a question follow each other.
func peersTable(peers []peer) string {
	var text strings.Builder
	text.WriteString("| nodes | change | p50 of the floor, ms | bgpguard, ms | Gatekeeper, ms | Gatekeeper / bgpguard | requests/s at 8 connections: bgpguard | Gatekeeper |\n" +
		"|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range peers {
		for pair := range slices.Chunk(p.latencies, 2) {
			guard, other := pair[0], pair[1]
			fmt.Fprintf(&text, "| %d | %s | %s | %s | %s | %s | %s | %s |\n", p.nodes, guard.question,
				ms(medianOf(guard.one, func(r repetition) time.Duration { return r.floor.p50 })), ms(guard.p50()), ms(other.p50()),
				number(other.p50Ratio()/guard.p50Ratio()), number(guard.perSecond()), number(other.perSecond()))
		}
	}
	text.WriteString("\n| nodes | start to ready, s: bgpguard | Gatekeeper | resident memory after the load, MiB: bgpguard | Gatekeeper |\n|--:|--:|--:|--:|--:|\n")
	for _, p := range peers {
		fmt.Fprintf(&text, "| %d | %s | %s | %s | %s |\n", p.nodes, number(p.guardReady.Seconds()), number(p.gatekeeperReady.Seconds()),
			number(float64(p.guard.Resident)/1024), number(float64(p.gatekeeper.Resident)/1024))
	}
	return text.String()
}
