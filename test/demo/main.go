// Command demo shows bgpguard on a real API server. For each act it starts etcd
// and kube-apiserver on loopback, installs Calico's CRDs and bgpguard's
// manifests, creates about 120 nodes, and runs real kubectl commands. The exit
// code is 0 only if every answer was the expected one. With KEEP=1 it then starts
// a healthy cluster with the default install, for commands of the user.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	kept := flag.Bool("keep", os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0", "end with a guarded cluster that runs until it is interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *kept); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		return 1
	}
	return 0
}

func demo(ctx context.Context, kept bool) error {
	began := time.Now()
	stage := &stage{}
	for _, act := range acts {
		if err := stage.perform(ctx, act); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d commands in %s: %d denied, %d unexpected answers.\n",
		stage.commands, time.Since(began).Round(time.Second), stage.denied, stage.wrong)
	if stage.wrong > 0 {
		return fmt.Errorf("%d unexpected answers", stage.wrong)
	}
	if kept {
		return keep(ctx)
	}
	return nil
}

func say(text string) { fmt.Printf("==> %s\n", text) }
