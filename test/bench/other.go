package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/env"
)

// syncTimeout is the time limit for another webhook to have its policies and all Nodes.
const syncTimeout = 2 * time.Minute

// other is another admission webhook, which is measured beside bgpguard.
type other struct {
	*env.Webhook // nil before the first start

	name, program   string
	args, variables []string
	dir             string // of its log
	// probes is the address of its probe /readyz, which succeeds when it has the policies and all Nodes. Without one, it is
	// ready when it gives a right answer.
	probes string
	target *target
	// denials has, for each question that must be denied, what the message must contain and no other message may contain.
	denials map[string]string
}

// restart ends the process if it runs, and starts it. It returns the time until it was ready. A webhook without a probe is asked
// the question.
func (o *other) restart(ctx context.Context, q question, nodes int) (time.Duration, error) {
	if err := o.Stop(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := o.start(); err != nil {
		return 0, err
	}
	if o.probes != "" {
		if err := o.AwaitReady(ctx); err != nil {
			return 0, err
		}
	} else if err := o.awaitAnswers(ctx, []question{q}, nodes); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// start starts the process. The caller must stop it.
func (o *other) start() error {
	command := exec.Command(o.program, o.args...)
	command.Env = append(os.Environ(), o.variables...)
	process, err := env.Launch(o.dir, o.name, command)
	if err != nil {
		return err
	}
	o.Webhook = &env.Webhook{Process: process, ProbeURL: o.probes}
	return nil
}

// Stop ends the process. It may be called more than once, and before the first start.
func (o *other) Stop() error {
	if o.Webhook == nil {
		return nil
	}
	return o.Webhook.Stop()
}

// awaitAnswers waits until all questions are answered as they must be, each denial by the policy that must deny, and until the
// denials count all Nodes.
func (o *other) awaitAnswers(ctx context.Context, questions []question, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	client := o.target.client()
	defer client.CloseIdleConnections()
	for {
		err := o.checkAnswers(ctx, client, questions, nodes)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not give the right answers within %s: %w; the end of its log:\n%s", o.name, syncTimeout, err, o.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (o *other) checkAnswers(ctx context.Context, client *http.Client, questions []question, nodes int) error {
	for _, q := range questions {
		body, uid := q.review(numbers.Add(1))
		answer, err := post(ctx, client, o.target.url, body)
		if err == nil {
			err = o.target.checkAnswer(answer, uid, q.allowed)
		}
		if err == nil {
			err = o.checkDenial(q.name, string(answer), nodes)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// checkDenial returns an error if another policy than that of the question denies, or if a number of Nodes is not right.
func (o *other) checkDenial(question, answer string, nodes int) error {
	for of, text := range o.denials {
		if got, want := strings.Contains(answer, text), of == question; got != want {
			return fmt.Errorf("that the answer contains %q should be %t: %s", text, want, answer)
		}
	}
	counted := map[string]string{
		deleteDenied: fmt.Sprintf("of %d nodes would", nodes),
		meshDenied:   fmt.Sprintf("would have %d nodes", nodes-reflectors),
	}
	if want := counted[question]; !strings.Contains(answer, want) {
		return fmt.Errorf("the answer must contain %q: %s", want, answer)
	}
	return nil
}

// installManifest installs what a manifest has, without its pods and webhooks, and returns the arguments of the containers of a
// Deployment. The process of the webhook runs outside of the cluster, where nothing can reach its Service.
func installManifest(ctx context.Context, e *env.Environment, path, deployment string) (args []string, err error) {
	manifest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	objects, args, err := splitManifest(manifest, deployment)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// On the client's side, the annotation of the last configuration would be too large.
	if err := apply(ctx, e, string(objects), "--server-side"); err != nil {
		return nil, err
	}
	return args, kubectl(ctx, e, "wait", "--for=condition=Established", "--timeout=1m", "crd", "--all")
}

// splitManifest returns what installManifest installs, and the arguments of the containers of a Deployment.
func splitManifest(text []byte, deployment string) (objects []byte, args []string, err error) {
	var kept bytes.Buffer
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, nil, err
		}
		switch object.GetKind() {
		case "Namespace", "CustomResourceDefinition", "ConfigMap", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			fmt.Fprintf(&kept, "---\n%s\n", bytes.TrimSpace(document))
		case "Deployment":
			if object.GetName() != deployment {
				continue
			}
			var found appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &found); err != nil {
				return nil, nil, err
			}
			for _, container := range found.Spec.Template.Spec.Containers {
				args = append(args, container.Args...)
			}
		}
	}
	if len(args) == 0 || kept.Len() == 0 {
		return nil, nil, fmt.Errorf("it has nothing to install, or no Deployment %s with arguments", deployment)
	}
	return kept.Bytes(), args, nil
}
