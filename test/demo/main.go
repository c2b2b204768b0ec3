// Command demo shows bgpguard's main job on a real API server. For each act it
// starts etcd and kube-apiserver on loopback, installs Calico's CRDs and
// bgpguard as its manifests say, makes a cluster of some 120 nodes, and types
// real kubectl commands. It exits 0 only if every answer was the expected one.
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
	keep := flag.Bool("keep", os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0", "leave the last control plane up until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		return 1
	}
	return 0
}

func demo(ctx context.Context, keep bool) error {
	began := time.Now()
	stage := &stage{}
	for _, act := range acts[:len(acts)-1] {
		if err := stage.perform(ctx, act, func(*env.Environment) {}); err != nil {
			return err
		}
	}
	finale := func(e *env.Environment) {
		fmt.Printf("\n%d commands, %d denied, %d not as expected, in %s.\n",
			stage.commands, stage.denied, stage.wrong, time.Since(began).Round(time.Second))
		if keep {
			fmt.Printf("\nThe control plane stays up until Ctrl-C:\n  export KUBECONFIG=%s\n  %s get nodes\n", e.Admin.Kubeconfig, e.Admin.Path)
			<-ctx.Done()
		}
	}
	if err := stage.perform(ctx, acts[len(acts)-1], finale); err != nil {
		return err
	}
	if stage.wrong > 0 {
		return fmt.Errorf("%d answers were not the expected ones", stage.wrong)
	}
	return nil
}

func say(text string) { fmt.Printf("==> %s\n", text) }
