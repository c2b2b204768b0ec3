package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/bgpguard/bgpguard/test/env"
)

// try is a command that a reader of the demo can run in the cluster of KEEP=1.
type try struct {
	// command is a command line of kubectl or bgpguard.
	command string
	// shows is the comment behind it.
	shows string
	// prints is what the command must print.
	prints string
	// exit is its exit code.
	exit int
}

// tries leave the cluster as it is.
var tries = []try{
	{command: "kubectl get bgppolicies", shows: "the policies in force", prints: need},
	{command: "kubectl delete bgppeer workers", shows: "denied: the workers would have no routes", prints: "denied the request", exit: 1},
	{command: `kubectl patch bgpconfiguration default --type=merge -p '{"spec":{"nodeToNodeMeshEnabled":true}}'`, shows: "denied: a mesh of 117 nodes", prints: limit, exit: 1},
	{command: "bgpguard topology --context envtest --node node-0042", shows: "the sessions and routes of a node", prints: "node-0000"},
	{command: "bgpguard audit", shows: "what is wrong already: nothing", prints: "no violations"},
}

// guarded is a cluster with route reflectors, the default install and a running webhook.
type guarded struct {
	*env.Environment
	webhook *env.Webhook
}

// guard starts a healthy cluster and installs bgpguard in it. The caller must call stop.
func guard(ctx context.Context) (*guarded, error) {
	e, err := env.Start(ctx, env.Options{Groups: []env.Group{env.GroupV1}})
	if err != nil {
		return nil, err
	}
	g := &guarded{Environment: e}
	if err := g.prepare(ctx); err != nil {
		return nil, fmt.Errorf("%w; %v", err, g.stop())
	}
	return g, nil
}

func (g *guarded) prepare(ctx context.Context) error {
	nodes := env.Nodes(nodeCount)
	for _, node := range nodes[:3] {
		env.RouteReflector("244.0.0.1")(node)
	}
	if err := g.CreateNodes(ctx, nodes); err != nil {
		return err
	}
	applied, err := g.Admin.RunWithInput(ctx, meshOff+"---\n"+workers+"---\n"+reflectors, "apply", "-f", "-")
	if err != nil {
		return err
	}
	if err := applied.Err(); err != nil {
		return err
	}
	if err := g.Install(ctx); err != nil {
		return err
	}
	if g.webhook, err = g.StartWebhook(ctx, env.WebhookOptions{}); err != nil {
		return err
	}
	enforced, err := g.Admin.Run(ctx, "wait", "bgppolicies", "--all", "--for=condition=Enforced", "--timeout=60s")
	if err != nil {
		return err
	}
	return enforced.Err()
}

func (g *guarded) stop() error {
	if g.webhook != nil {
		if err := g.webhook.Stop(); err != nil {
			return err
		}
	}
	return g.Stop()
}

// environment returns the variables with which the commands run.
func (g *guarded) environment() ([]string, error) {
	programs, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	return []string{"KUBECONFIG=" + g.Admin.Kubeconfig, "PATH=" + programs + ":" + filepath.Dir(g.Admin.Path) + ":$PATH"}, nil
}

// keep starts a guarded cluster, prints what to try, and stops the cluster when the context is done.
func keep(ctx context.Context) (err error) {
	fmt.Println()
	say("Starting a fresh cluster: 120 nodes, 3 of them route reflectors, and the default install")
	g, err := guard(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := g.stop(); err == nil {
			err = stopErr
		}
	}()
	variables, err := g.environment()
	if err != nil {
		return err
	}
	fmt.Println("\nThe cluster is guarded, and runs until you press Ctrl-C. In another terminal:")
	for _, variable := range variables {
		fmt.Printf("\n  export %s", variable)
	}
	fmt.Println()
	for _, t := range tries {
		fmt.Printf("\n  # %s\n  %s", t.shows, t.command)
	}
	fmt.Println()
	<-ctx.Done()
	return nil
}
