package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	kyvernoNamespace = "kyverno"
	// kyvernoAccount is also the name of the Deployment.
	kyvernoAccount = "kyverno-admission-controller"
	kyvernoService = "kyverno-svc"
)

// kyvernoPolicies has the policy that denies each question. They are in the file of kyvernoManifests.
var kyvernoPolicies = map[string]string{
	timerDenied:  "bgp-restart-time",
	deleteDenied: "bgp-reflector-coverage",
	meshDenied:   "bgp-mesh-limit",
}

//go:embed policies/kyverno/policies.yaml
var kyvernoManifests string

// installKyverno installs Kyverno from its own manifest, and the policies. Its process does not run when it returns.
func installKyverno(ctx context.Context, e *env.Environment, dir string) (*other, error) {
	args, err := installManifest(ctx, e, filepath.Join(dir, "kyverno.yaml"), kyvernoAccount)
	if err != nil {
		return nil, err
	}
	// The ClusterRoles of Kyverno are made of others by a controller that does not run here.
	if err := kubectl(ctx, e, "create", "clusterrolebinding", kyvernoAccount, "--clusterrole=cluster-admin",
		"--serviceaccount="+kyvernoNamespace+":"+kyvernoAccount); err != nil {
		return nil, err
	}
	kubeconfig, err := e.ServiceAccountKubeconfig(ctx, kyvernoNamespace, kyvernoAccount)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	o := &other{
		name: "Kyverno", dir: e.Dir, program: filepath.Join(dir, "kyverno"),
		args: append(args,
			"--kubeconfig="+kubeconfig,
			"--serverIP="+address,
			"--webhookServerHost=127.0.0.1", fmt.Sprintf("--webhookServerPort=%d", ports[0]),
			"--metricsHost=127.0.0.1", fmt.Sprintf("--metricsPort=%d", ports[1]),
			fmt.Sprintf("--controllerRuntimeMetricsAddress=127.0.0.1:%d", ports[2]),
			// The controller that would take the reports does not run.
			"--admissionReports=false",
		),
		variables: []string{
			"KYVERNO_NAMESPACE=" + kyvernoNamespace, "KYVERNO_POD_NAME=kyverno", "KYVERNO_DEPLOYMENT=" + kyvernoAccount,
			"KYVERNO_SERVICEACCOUNT_NAME=" + kyvernoAccount, "KYVERNO_ROLE_NAME=kyverno:admission-controller",
			"KYVERNO_SVC=" + kyvernoService, "INIT_CONFIG=kyverno", "METRICS_CONFIG=kyverno-metrics", "TUF_ROOT=" + e.Dir,
		},
		denials: map[string]string{},
	}
	// Kyverno registers a path with the names of the policies. All are in one request here.
	path := "/vpol/" + strings.Join(slices.Sorted(maps.Values(kyvernoPolicies)), "/")
	for question, policy := range kyvernoPolicies {
		o.denials[question] = "Policy " + policy + " failed:"
	}
	ca, err := installKyvernoPolicies(ctx, e, o)
	if err != nil {
		return nil, err
	}
	if o.target, err = newTarget("https://"+address+path, ca, isAllowed); err != nil {
		return nil, err
	}
	o.target.isDenial = isKyvernoDenial
	return o, nil
}

// installKyvernoPolicies installs the policies, and returns the CA of Kyverno. Its process, which makes the CA and validates the
// policies, runs only meanwhile.
func installKyvernoPolicies(ctx context.Context, e *env.Environment, o *other) (ca []byte, err error) {
	if err := o.start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; the end of the log of Kyverno:\n%s", err, o.Log())
		}
		err = errors.Join(err, o.Stop())
	}()
	if err := retry(ctx, func() error {
		secret, err := e.Client.CoreV1().Secrets(kyvernoNamespace).Get(ctx, kyvernoService+"."+kyvernoNamespace+".svc.kyverno-tls-ca", metav1.GetOptions{})
		if err == nil {
			ca = secret.Data[certFile]
		}
		return err
	}); err != nil {
		return nil, err
	}
	return ca, retry(ctx, func() error { return apply(ctx, e, kyvernoManifests) })
}

// isKyvernoDenial reports whether a status is that of a denial: it has no code.
func isKyvernoDenial(status *metav1.Status) bool {
	return strings.HasPrefix(status.Message, "Policy ") && strings.Contains(status.Message, " failed: ") && !strings.Contains(status.Message, " error: ")
}

// retry calls a function until it succeeds, for at most a minute.
func retry(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
