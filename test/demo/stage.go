package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/test/env"
)

// stage runs acts and counts the answers.
type stage struct {
	kubectl                 env.Kubectl
	commands, denied, wrong int
}

// perform starts the act's cluster with bgpguard, runs its scenes and stops it.
func (s *stage) perform(ctx context.Context, act act) (err error) {
	fmt.Printf("\n## %s\n\n", act.title)
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
	say(fmt.Sprintf("Creating %d nodes as Calico writes them", len(act.nodes)))
	if err := e.CreateNodes(ctx, act.nodes); err != nil {
		return err
	}
	s.kubectl = e.Admin
	if act.initial != "" {
		if err := s.prepare(ctx, act.initial); err != nil {
			return err
		}
	}
	say("kubectl apply -k config/crd, config/default: bgpguard's manifests, which call the process below instead of a pod")
	if err := e.Install(ctx); err != nil {
		return err
	}
	var options env.WebhookOptions
	source := "BGPPolicies of the cluster"
	if act.policies != "" {
		options.Policies = []string{act.policies}
		source = "BGPPolicies of " + act.policies
	}
	say("Starting the webhook with its ServiceAccount's token and the " + source)
	webhook, err := e.StartWebhook(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := webhook.Stop(); err == nil {
			err = stopErr
		}
	}()
	if err := s.run(ctx, act.scenes); err != nil {
		return fmt.Errorf("%w\nthe webhook's log:\n%s", err, webhook.Log())
	}
	return nil
}

// prepare applies a manifest before bgpguard is installed.
func (s *stage) prepare(ctx context.Context, manifest string) error {
	fmt.Printf("\nThe cluster contains:\n%s\n", manifest)
	result, err := s.kubectl.RunWithInput(ctx, manifest, "apply", "-f", "-")
	if err != nil {
		return err
	}
	return result.Err()
}

func (s *stage) run(ctx context.Context, scenes []scene) error {
	for _, scene := range scenes {
		fmt.Printf("\n# %s\n", scene.title)
		for _, step := range scene.steps {
			if err := s.do(ctx, step); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stage) do(ctx context.Context, step step) error {
	if step.finds != "" {
		return s.audit(ctx, step)
	}
	if step.input != "" {
		fmt.Printf("\n$ cat <<EOF | kubectl %s\n%sEOF\n", step.args, step.input)
	} else {
		fmt.Printf("\n$ kubectl %s\n", step.args)
	}
	result, err := s.kubectl.RunWithInput(ctx, step.input, strings.Fields(step.args)...)
	if err != nil {
		return err
	}
	fmt.Print(result.Stdout, result.Stderr)
	s.commands++
	denied := result.ExitCode != 0
	if denied {
		s.denied++
	}
	want := "allowed"
	ok := !denied
	if step.denied != "" {
		want = "denied by " + step.denied
		_, message, _ := strings.Cut(result.Stderr, "denied the request: ")
		ok = denied && strings.Contains(message, "["+step.denied+"] ")
	}
	if step.rejected != "" {
		want = "rejected: " + step.rejected
		ok = denied && strings.Contains(result.Stderr, step.rejected)
	}
	if step.prints != "" {
		want += ", prints " + step.prints
		ok = ok && strings.Contains(result.Stdout+result.Stderr, step.prints)
	}
	if step.warned != "" {
		want += " with a warning of policy " + step.warned
		ok = ok && strings.Contains(result.Stderr, "Warning: ["+step.warned+"]")
	}
	if !ok {
		s.wrong++
		fmt.Printf("!!! expected: %s\n", want)
	}
	return nil
}

// audit runs bgpguard against the cluster.
func (s *stage) audit(ctx context.Context, step step) error {
	fmt.Printf("\n$ bgpguard %s\n", step.args)
	program := s.kubectl
	program.Path = "bin/bgpguard"
	result, err := program.Run(ctx, strings.Fields(step.args)...)
	if err != nil {
		return err
	}
	fmt.Print(result.Stdout, result.Stderr)
	s.commands++
	if result.ExitCode != 1 || !strings.Contains(result.Stdout, "critical: ["+step.finds+"] ") {
		s.wrong++
		fmt.Printf("!!! expected: exit code 1 and a violation of %s\n", step.finds)
	}
	return nil
}
