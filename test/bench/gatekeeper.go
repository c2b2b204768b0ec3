package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	gatekeeperName      = "Gatekeeper"
	gatekeeperNamespace = "gatekeeper-system"
	// The files in the directory of --gatekeeper.
	gatekeeperProgram  = "gatekeeper"
	gatekeeperManifest = "gatekeeper.yaml"
	// syncTimeout is the time limit for Gatekeeper to have the policies and all Nodes.
	syncTimeout = 2 * time.Minute
)

// gatekeeperPolicy is a policy that Gatekeeper evaluates, with its only constraint.
type gatekeeperPolicy struct {
	kind       string   // of the constraint; in lower case the name of the template and of the package
	file       string   // with the Rego
	kinds      []string // of Calico that it evaluates
	parameters map[string]any
}

// gatekeeperPolicies are equivalent to mesh-node-limit, route-reflectors-required and timers-consistent as far as the questions
// need; docs/performance.md lists the differences. Their parameters are those of the default install and of install.
var gatekeeperPolicies = []gatekeeperPolicy{
	{"BGPMeshLimit", "mesh_limit.rego", []string{"BGPConfiguration"}, map[string]any{"maxNodes": meshLimit}},
	{"BGPReflectorCoverage", "reflector_coverage.rego", []string{"BGPConfiguration", "BGPPeer"}, map[string]any{"minReflectors": minReflectors}},
	{"BGPRestartTime", "restart_time.rego", []string{"BGPPeer"}, map[string]any{"restartTime": restartTime}},
}

// gatekeeperDenials has the kind of the constraint that denies each question that must be denied.
var gatekeeperDenials = map[string]string{
	timerDenied:  "BGPRestartTime",
	deleteDenied: "BGPReflectorCoverage",
	meshDenied:   "BGPMeshLimit",
}

//go:embed policies/gatekeeper/*.rego
var gatekeeperRego embed.FS

// name returns the name of the template and of the constraint.
func (p gatekeeperPolicy) name() string { return strings.ToLower(p.kind) }

// template returns the ConstraintTemplate.
func (p gatekeeperPolicy) template() (map[string]any, error) {
	rego, err := gatekeeperRego.ReadFile("policies/gatekeeper/" + p.file)
	if err != nil {
		return nil, err
	}
	properties := map[string]any{}
	for name, value := range p.parameters {
		of := "string"
		if _, isNumber := value.(int); isNumber {
			of = "integer"
		}
		properties[name] = map[string]any{"type": of}
	}
	schema := map[string]any{"type": "object", "properties": properties}
	return map[string]any{
		"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": map[string]any{"name": p.name()},
		"spec": map[string]any{
			"crd": map[string]any{"spec": map[string]any{
				"names": map[string]any{"kind": p.kind}, "validation": map[string]any{"openAPIV3Schema": schema},
			}},
			"targets": []any{map[string]any{
				"target": "admission.k8s.gatekeeper.sh",
				"code": []any{map[string]any{
					"engine": "Rego", "source": map[string]any{"version": "v1", "rego": string(rego)},
				}},
			}},
		},
	}, nil
}

// constraint returns the constraint, which denies.
func (p gatekeeperPolicy) constraint() map[string]any {
	return map[string]any{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": p.kind, "metadata": map[string]any{"name": p.name()},
		"spec": map[string]any{
			"match":      map[string]any{"kinds": []any{map[string]any{"apiGroups": []string{"crd.projectcalico.org"}, "kinds": p.kinds}}},
			"parameters": p.parameters,
		},
	}
}

// syncSet returns the SyncSet of the kinds that the policies read.
func syncSet() map[string]any {
	gvks := []any{map[string]any{"group": "", "version": "v1", "kind": "Node"}}
	for _, kind := range []string{"BGPConfiguration", "BGPPeer"} {
		gvks = append(gvks, map[string]any{"group": "crd.projectcalico.org", "version": "v1", "kind": kind})
	}
	return map[string]any{
		"apiVersion": "syncset.gatekeeper.sh/v1alpha1", "kind": "SyncSet", "metadata": map[string]any{"name": "bgp"},
		"spec": map[string]any{"gvks": gvks},
	}
}

// splitManifest returns what Gatekeeper's manifest installs without its pods and webhooks, and the arguments of the webhook's
// container. The reviews go directly to a process, which a Service without endpoints would only delay.
func splitManifest(text []byte) (objects []byte, args []string, err error) {
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
		case "Namespace", "ResourceQuota", "CustomResourceDefinition", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			fmt.Fprintf(&kept, "---\n%s\n", bytes.TrimSpace(document))
		case "Deployment":
			if object.GetName() != "gatekeeper-controller-manager" {
				continue
			}
			var deployment appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
				return nil, nil, err
			}
			for _, container := range deployment.Spec.Template.Spec.Containers {
				args = append(args, container.Args...)
			}
		}
	}
	if len(args) == 0 || kept.Len() == 0 {
		return nil, nil, errors.New("the manifest has no CustomResourceDefinition, or no Deployment gatekeeper-controller-manager with arguments")
	}
	return kept.Bytes(), args, nil
}

// gatekeeper is the webhook of Gatekeeper.
type gatekeeper struct {
	*env.Webhook

	program, kubeconfig string
	args                []string // of its manifest
	target              *target
}

// installGatekeeper installs Gatekeeper from its own manifest, and the policies. Its process does not run when it returns.
func installGatekeeper(ctx context.Context, e *env.Environment, dir string, id identity) (g *gatekeeper, err error) {
	manifest, err := os.ReadFile(filepath.Join(dir, gatekeeperManifest))
	if err != nil {
		return nil, err
	}
	objects, args, err := splitManifest(manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", gatekeeperManifest, err)
	}
	g = &gatekeeper{program: filepath.Join(dir, gatekeeperProgram), args: args}
	// On the client's side, the annotation of the last configuration would be too large.
	if err := apply(ctx, e, string(objects), "--server-side"); err != nil {
		return nil, err
	}
	if err := kubectl(ctx, e, "wait", "--for=condition=Established", "--timeout=1m", "crd", "--all"); err != nil {
		return nil, err
	}
	if g.kubeconfig, err = e.ServiceAccountKubeconfig(ctx, gatekeeperNamespace, "gatekeeper-admin"); err != nil {
		return nil, err
	}
	// In production the process that audits creates the CRDs of the constraints.
	if _, err = g.start(ctx, e, id, "--operation=generate"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Stop()) }()
	if err := applyObject(ctx, e, syncSet()); err != nil {
		return nil, err
	}
	for _, p := range gatekeeperPolicies {
		template, err := p.template()
		if err != nil {
			return nil, err
		}
		if err := applyObject(ctx, e, template); err != nil {
			return nil, err
		}
	}
	for _, p := range gatekeeperPolicies {
		crd := "crd/" + p.name() + ".constraints.gatekeeper.sh"
		for _, condition := range []string{"create", "condition=Established"} {
			if err := kubectl(ctx, e, "wait", "--for="+condition, "--timeout=1m", crd); err != nil {
				return nil, fmt.Errorf("%w; the end of the log of Gatekeeper:\n%s", err, g.Log())
			}
		}
		if err := applyObject(ctx, e, p.constraint()); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// applyObject applies an object with kubectl.
func applyObject(ctx context.Context, e *env.Environment, object map[string]any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	return apply(ctx, e, string(text))
}

// start starts the process of Gatekeeper's webhook as its manifest does, and returns the time until it was ready, which it is
// when it has the policies and the synced objects. More arguments follow those of the manifest. The caller must stop it.
func (g *gatekeeper) start(ctx context.Context, e *env.Environment, id identity, more ...string) (time.Duration, error) {
	certificates, err := id.write(e.Dir)
	if err != nil {
		return 0, err
	}
	ports := make([]int, 3)
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return 0, err
		}
	}
	probes := fmt.Sprintf("127.0.0.1:%d", ports[1])
	command := exec.Command(g.program, slices.Concat(g.args, more, []string{
		"--kubeconfig=" + g.kubeconfig,
		"--debug-use-fake-pod",
		"--disable-cert-rotation", "--cert-dir=" + certificates,
		"--host=127.0.0.1", fmt.Sprintf("--port=%d", ports[0]),
		"--health-addr=" + probes,
		// The endpoint for Prometheus would listen on all interfaces. Nothing listens on this port.
		"--metrics-backend=opentelemetry", fmt.Sprintf("--otlp-endpoint=127.0.0.1:%d", ports[2]),
		"--shutdown-delay=0",
	})...)
	command.Env = append(os.Environ(), "POD_NAMESPACE="+gatekeeperNamespace)
	began := time.Now()
	process, err := env.Launch(e.Dir, "gatekeeper", command)
	if err != nil {
		return 0, err
	}
	g.Webhook = &env.Webhook{Process: process, URL: fmt.Sprintf("https://localhost:%d/v1/admit", ports[0]), ProbeURL: "http://" + probes}
	if err := g.AwaitReady(ctx); err != nil {
		return 0, err
	}
	ready := time.Since(began)
	g.target, err = newTarget(g.URL, id.ca, func(q question) bool { return q.allowed })
	return ready, err
}

// restart is like start, and first ends the process that runs.
func (g *gatekeeper) restart(ctx context.Context, e *env.Environment, id identity) (time.Duration, error) {
	if err := g.Stop(); err != nil {
		return 0, err
	}
	return g.start(ctx, e, id)
}

// Stop ends the process. It may be called more than once, and before the first start.
func (g *gatekeeper) Stop() error {
	if g == nil || g.Webhook == nil {
		return nil
	}
	return g.Webhook.Stop()
}

// awaitSync waits until Gatekeeper answers all questions as it must, each denial by the constraint that must deny it, and until
// a denial counts all Nodes.
func (g *gatekeeper) awaitSync(ctx context.Context, questions []question, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	client := g.target.client()
	defer client.CloseIdleConnections()
	for {
		err := g.checkAnswers(ctx, client, questions, nodes)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the right answers were not given within %s: %w", syncTimeout, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (g *gatekeeper) checkAnswers(ctx context.Context, client *http.Client, questions []question, nodes int) error {
	for _, q := range questions {
		body, uid := q.review(numbers.Add(1))
		answer, err := post(ctx, client, g.target.url, body)
		if err == nil {
			err = checkAnswer(answer, uid, q.allowed)
		}
		if err == nil {
			err = checkDenial(q.name, string(answer), nodes)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// checkDenial returns an error if another constraint than that of the question denies, or a number of Nodes is not right.
func checkDenial(question, answer string, nodes int) error {
	kind, denied := gatekeeperDenials[question]
	for _, p := range gatekeeperPolicies {
		if denies := strings.Contains(answer, "["+p.name()+"]"); denies != (denied && p.kind == kind) {
			return fmt.Errorf("%s denies: %t: %s", p.name(), denies, answer)
		}
	}
	counted := map[string]string{
		deleteDenied: fmt.Sprintf("of %d nodes would", nodes),
		meshDenied:   fmt.Sprintf("would have %d nodes", nodes-reflectors),
	}
	if want := counted[question]; !strings.Contains(answer, want) {
		return fmt.Errorf("the message must contain %q: %s", want, answer)
	}
	return nil
}
