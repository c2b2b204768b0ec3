package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/env"
)

const gatekeeperNamespace = "gatekeeper-system"

// gatekeeperPolicy is a policy that Gatekeeper evaluates, with its only constraint.
type gatekeeperPolicy struct {
	kind       string   // of the constraint; in lower case the name of the template and of the package
	file       string   // with the Rego
	denies     string   // the question that it denies
	kinds      []string // of Calico that it evaluates
	parameters map[string]any
}

// gatekeeperPolicies are equivalent to mesh-node-limit, route-reflectors-required and timers-consistent as far as the questions
// need; docs/performance.md lists the differences. Their parameters are those of the default install and of install.
var gatekeeperPolicies = []gatekeeperPolicy{
	{"BGPMeshLimit", "mesh_limit.rego", meshDenied, []string{"BGPConfiguration"}, map[string]any{"maxNodes": meshLimit}},
	{"BGPReflectorCoverage", "reflector_coverage.rego", deleteDenied, []string{"BGPConfiguration", "BGPPeer"}, map[string]any{"minReflectors": minReflectors}},
	{"BGPRestartTime", "restart_time.rego", timerDenied, []string{"BGPPeer"}, map[string]any{"restartTime": restartTime}},
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

// installGatekeeper installs Gatekeeper from its own manifest, and the policies. Its process does not run when it returns.
func installGatekeeper(ctx context.Context, e *env.Environment, dir string, id identity) (*other, error) {
	args, err := installManifest(ctx, e, filepath.Join(dir, "gatekeeper.yaml"), "gatekeeper-controller-manager")
	if err != nil {
		return nil, err
	}
	kubeconfig, err := e.ServiceAccountKubeconfig(ctx, gatekeeperNamespace, "gatekeeper-admin")
	if err != nil {
		return nil, err
	}
	certificates, err := id.write(e.Dir)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	probes := fmt.Sprintf("127.0.0.1:%d", ports[1])
	o := &other{
		name: "Gatekeeper", dir: e.Dir, program: filepath.Join(dir, "gatekeeper"),
		args: append(args,
			"--kubeconfig="+kubeconfig,
			"--debug-use-fake-pod",
			"--disable-cert-rotation", "--cert-dir="+certificates,
			"--host=127.0.0.1", fmt.Sprintf("--port=%d", ports[0]),
			"--health-addr="+probes,
			// The endpoint for Prometheus would listen on all interfaces. Nothing listens on this port.
			"--metrics-backend=opentelemetry", fmt.Sprintf("--otlp-endpoint=127.0.0.1:%d", ports[2]),
			"--shutdown-delay=0",
		),
		variables: []string{"POD_NAMESPACE=" + gatekeeperNamespace},
		probes:    "http://" + probes,
		denials:   map[string]string{},
	}
	for _, p := range gatekeeperPolicies {
		o.denials[p.denies] = "[" + p.name() + "]"
	}
	if o.target, err = newTarget(fmt.Sprintf("https://localhost:%d/v1/admit", ports[0]), id.ca, isAllowed); err != nil {
		return nil, err
	}
	return o, installGatekeeperPolicies(ctx, e, o)
}

// installGatekeeperPolicies installs the policies. The process of Gatekeeper runs only meanwhile.
func installGatekeeperPolicies(ctx context.Context, e *env.Environment, o *other) (err error) {
	installer := *o
	// In production the process that audits creates the CRDs of the constraints.
	installer.args = append(slices.Clone(o.args), "--operation=generate")
	if err := installer.start(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the end of the log of Gatekeeper:\n%s", err, installer.Log())
		}
		err = errors.Join(err, installer.Stop())
	}()
	if err := installer.AwaitReady(ctx); err != nil {
		return err
	}
	if err := applyObject(ctx, e, syncSet()); err != nil {
		return err
	}
	for _, p := range gatekeeperPolicies {
		template, err := p.template()
		if err != nil {
			return err
		}
		if err := applyObject(ctx, e, template); err != nil {
			return err
		}
	}
	for _, p := range gatekeeperPolicies {
		for _, condition := range []string{"create", "condition=Established"} {
			if err := kubectl(ctx, e, "wait", "--for="+condition, "--timeout=1m", "crd/"+p.name()+".constraints.gatekeeper.sh"); err != nil {
				return err
			}
		}
		if err := applyObject(ctx, e, p.constraint()); err != nil {
			return err
		}
	}
	return nil
}

// applyObject applies an object with kubectl.
func applyObject(ctx context.Context, e *env.Environment, object map[string]any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	return apply(ctx, e, string(text))
}
