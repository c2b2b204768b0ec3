// Command demo shows bgpguard's main job on a real API server: it starts etcd
// and kube-apiserver on loopback, installs Calico's CRDs and bgpguard as its
// manifests say, makes a cluster of 120 nodes, and types real kubectl commands.
// It exits 0 only if every answer was the expected one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

func main() { os.Exit(run()) }

func run() int {
	keep := flag.Bool("keep", os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0", "leave the control plane up until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		return 1
	}
	return 0
}

func demo(ctx context.Context, keep bool) (err error) {
	began := time.Now()
	say("Starting etcd and kube-apiserver on loopback, with Calico's CRDs")
	e, err := env.Start(ctx, env.Options{Groups: []env.Group{env.GroupV1}})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := e.Stop(); err == nil {
			err = stopErr
		}
	}()
	say("Making 120 nodes as Calico writes them")
	if err := e.CreateNodes(ctx, env.Nodes(nodeCount)); err != nil {
		return err
	}
	say("kubectl apply -k config/default: bgpguard's own manifests (calling the process below instead of a pod)")
	if _, err := e.ApplyKustomization(ctx, "config/default"); err != nil {
		return err
	}
	say("Starting the webhook with its ServiceAccount's token")
	webhook, err := e.StartWebhook(ctx, env.WebhookOptions{Policies: []string{"config/policies"}})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := webhook.Stop(); err == nil {
			err = stopErr
		}
	}()

	stage := &stage{kubectl: e.Admin}
	if err := stage.play(ctx, scenes); err != nil {
		return fmt.Errorf("%w\nthe webhook's log:\n%s", err, webhook.Log())
	}
	fmt.Printf("\n%d commands, %d denied and %d allowed, %d not as expected, in %s.\n",
		stage.commands, stage.denied, stage.commands-stage.denied, stage.wrong, time.Since(began).Round(time.Second))
	if keep {
		fmt.Printf("\nThe control plane stays up until Ctrl-C:\n  export KUBECONFIG=%s\n  %s get nodes\n", e.Admin.Kubeconfig, e.Admin.Path)
		<-ctx.Done()
	}
	if stage.wrong > 0 {
		return fmt.Errorf("%d answers were not the expected ones", stage.wrong)
	}
	return nil
}

func say(text string) { fmt.Printf("==> %s\n", text) }
