package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/test/env"
)

// stage plays acts and counts the answers.
type stage struct {
	kubectl                 env.Kubectl
	commands, denied, wrong int
}

// perform makes the act's cluster, with bgpguard in it, and plays its scenes.
// The cluster ends when finale returns.
func (s *stage) perform(ctx context.Context, act act, finale func(*env.Environment)) (err error) {
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
	say(fmt.Sprintf("Making %d nodes as Calico writes them", len(act.nodes)))
	if err := e.CreateNodes(ctx, act.nodes); err != nil {
		return err
	}
	s.kubectl = e.Admin
	if act.found != "" {
		if err := s.find(ctx, act.found); err != nil {
			return err
		}
	}
	say("kubectl apply -k config/crd, config/default: bgpguard's own manifests (calling the process below instead of a pod)")
	if err := e.Install(ctx); err != nil {
		return err
	}
	var options env.WebhookOptions
	where := "BGPPolicies of the cluster"
	if act.policies != "" {
		options.Policies = []string{act.policies}
		where = "BGPPolicies of " + act.policies
	}
	say("Starting the webhook with its ServiceAccount's token and the " + where)
	webhook, err := e.StartWebhook(ctx, options)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := webhook.Stop(); err == nil {
			err = stopErr
		}
	}()
	if err := s.play(ctx, act.scenes); err != nil {
		return fmt.Errorf("%w\nthe webhook's log:\n%s", err, webhook.Log())
	}
	finale(e)
	return nil
}

// find has the cluster hold a manifest before there is a guard.
func (s *stage) find(ctx context.Context, manifest string) error {
	fmt.Printf("\nThe cluster has:\n%s\n", manifest)
	result, err := s.kubectl.RunWithInput(ctx, manifest, "apply", "-f", "-")
	if err != nil {
		return err
	}
	return result.Err()
}

func (s *stage) play(ctx context.Context, scenes []scene) error {
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
	if step.refused != "" {
		want = "refused: " + step.refused
		ok = denied && strings.Contains(result.Stderr, step.refused)
	}
	if step.told != "" {
		want += " with " + step.told
		ok = ok && strings.Contains(result.Stdout+result.Stderr, step.told)
	}
	if step.warned != "" {
		want += " with a warning of " + step.warned
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
