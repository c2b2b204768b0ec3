// Command demo shows bgpguard on a real API server. For each act it starts etcd
// and kube-apiserver on loopback, installs Calico's CRDs and bgpguard's
// manifests, creates about 120 nodes, and runs real kubectl commands. The exit
// code is 0 only if every answer was the expected one.
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
	keep := flag.Bool("keep", os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0", "keep the last control plane running until interrupted")
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
	last := func(e *env.Environment) {
		fmt.Printf("\n%d commands in %s: %d denied, %d unexpected answers.\n",
			stage.commands, time.Since(began).Round(time.Second), stage.denied, stage.wrong)
		if keep {
			fmt.Printf("\nThe control plane runs until you press Ctrl-C:\n  export KUBECONFIG=%s\n  %s get nodes\n", e.Admin.Kubeconfig, e.Admin.Path)
			<-ctx.Done()
		}
	}
	if err := stage.perform(ctx, acts[len(acts)-1], last); err != nil {
		return err
	}
	if stage.wrong > 0 {
		return fmt.Errorf("%d unexpected answers", stage.wrong)
	}
	return nil
}

func say(text string) { fmt.Printf("==> %s\n", text) }
