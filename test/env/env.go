// Package env runs a real Kubernetes control plane on loopback for the end-to-end tests, the benchmarks and the
// demo: etcd and kube-apiserver as child processes, the real kubectl, Calico's CRDs, and Nodes as Calico writes them.
// The webhook runs as in production, in a separate process with its ServiceAccount.
package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Group is an API group that Calico's objects can be served in.
type Group string

const (
	// GroupV1 is crd.projectcalico.org/v1, the CRDs in which Calico stores its objects.
	GroupV1 Group = "v1"
	// GroupV3 is projectcalico.org/v3, which newer versions of Calico serve as CRDs.
	GroupV3 Group = "v3"
)

// APIVersion returns the apiVersion of the objects of the group.
func (g Group) APIVersion() string {
	if g == GroupV3 {
		return "projectcalico.org/v3"
	}
	return "crd.projectcalico.org/v1"
}

// startTimeout is the time limit for the start and the stop of etcd and of kube-apiserver, which take a few seconds,
// and much longer on a machine that also compiles.
const startTimeout = 2 * time.Minute

// Options are the options of Start.
type Options struct {
	// Groups are the groups whose CRDs are installed.
	Groups []Group
	// Operator installs the kind Installation of tigera-operator, too.
	Operator bool
	// AdmissionConfiguration is the path of an AdmissionConfiguration for the API server, "" for none.
	AdmissionConfiguration string
	// Dir is the directory of the kubeconfigs and the logs. The default is a temporary directory that Stop removes.
	Dir string
}

// Environment is a running control plane. Its methods are safe for concurrent use.
type Environment struct {
	// Config and Client have the permissions of a cluster administrator.
	Config *rest.Config
	Client kubernetes.Interface
	// Admin runs kubectl as a cluster administrator.
	Admin Kubectl
	// Dir is the directory of kubeconfigs and logs.
	Dir string
	// AuditLog is the path of the API server's audit log of writes of Calico's objects, Nodes and BGPPolicies, and of all
	// requests of bgpguard's ServiceAccount. Each line is a JSON document; it includes the annotations of admission
	// webhooks.
	AuditLog string
	// WebhookPort is the port in webhook configurations of ApplyKustomization, on which StartWebhook serves. It is
	// chosen by Start, because the configuration exists before the process.
	WebhookPort int

	root      string
	admission string // the path of an AdmissionConfiguration
	scratch   string // the directory of files that Stop removes
	plane     *envtest.Environment
	logs      []*os.File
	mu        sync.Mutex
	processes []*Process
	groups    []*MemoryGroup
	stopOnce  sync.Once
	stopError error
}

// Start starts etcd and kube-apiserver, and returns when the API server serves the CRDs. The caller must call Stop, also
// if the context is done.
func Start(ctx context.Context, options Options) (*Environment, error) {
	e, err := prepare(options)
	if err != nil {
		return nil, err
	}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// prepare finds all files that the environment needs.
func prepare(options Options) (*Environment, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs, err := FindControlPlane(root)
	if err != nil {
		return nil, err
	}
	crds, err := findCRDs(root, options.Groups)
	if err != nil {
		return nil, err
	}
	if options.Operator {
		crds = append(crds, filepath.Join(root, "test", "env", "testdata", "operator"))
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}

	// Stop removes the files of the control plane. envtest does not remove its directories after a failed start.
	scratch, err := os.MkdirTemp("", "bgpguard-env-")
	if err != nil {
		return nil, err
	}
	e := &Environment{root: root, Dir: options.Dir, WebhookPort: ports[0], scratch: scratch, admission: options.AdmissionConfiguration}
	if e.Dir == "" {
		e.Dir = filepath.Join(scratch, "environment")
	}
	e.AuditLog = filepath.Join(e.Dir, "audit.log")
	etcdDir, apiServerDir := filepath.Join(scratch, "etcd"), filepath.Join(scratch, "kube-apiserver")

	existing := false // An inherited USE_EXISTING_CLUSTER must not direct the tests to a cluster in use.
	e.plane = &envtest.Environment{
		UseExistingCluster:       &existing,
		CRDDirectoryPaths:        crds,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}
	e.plane.ControlPlane.Etcd = &envtest.Etcd{Path: programs.Etcd, DataDir: etcdDir}
	e.plane.ControlPlane.APIServer = &envtest.APIServer{Path: programs.APIServer, CertDir: apiServerDir}
	e.plane.ControlPlane.KubectlPath = programs.Kubectl

	for _, dir := range []string{e.Dir, etcdDir, apiServerDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(scratch))
		}
	}
	return e, nil
}

// start runs the control plane and creates the administrator's clients.
func (e *Environment) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Without a logger, controller-runtime prints a warning with a stack trace.
	ctrllog.SetLogger(logr.Discard())

	if err := e.configureAPIServer(e.admission); err != nil {
		return err
	}
	if err := e.openLogs(); err != nil {
		return err
	}
	config, err := e.plane.Start()
	if err != nil {
		return fmt.Errorf("start the control plane: %w\n%s", err, e.controlPlaneLogs())
	}
	e.Config = config
	if e.Client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	kubeconfig := filepath.Join(e.Dir, "admin.kubeconfig")
	if err := os.WriteFile(kubeconfig, e.plane.KubeConfig, 0o600); err != nil {
		return err
	}
	e.Admin = e.As(kubeconfig)
	// envtest does not use a context.
	return ctx.Err()
}

// Stop ends every process that the environment started and waits for them. It can be called several times.
func (e *Environment) Stop() error {
	e.stopOnce.Do(func() {
		e.mu.Lock()
		processes, groups := e.processes, e.groups
		e.mu.Unlock()

		var problems []error
		for _, process := range processes {
			problems = append(problems, process.Stop())
		}
		for _, group := range groups {
			problems = append(problems, group.remove())
		}
		if err := e.plane.Stop(); err != nil {
			problems = append(problems, fmt.Errorf("stop the control plane: %w", err))
		}
		for _, log := range e.logs {
			problems = append(problems, log.Close())
		}
		problems = append(problems, os.RemoveAll(e.scratch))
		e.stopError = errors.Join(problems...)
	})
	return e.stopError
}
