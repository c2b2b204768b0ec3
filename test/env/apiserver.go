package env

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// auditPolicy records who asked for what, with the annotations, for the objects that the guard judges, and
// nothing about the rest, which would bury them.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: crd.projectcalico.org
  - group: projectcalico.org
  - group: policy.bgpguard.io
  - group: ""
    resources: [nodes, nodes/status]
- level: None
`

// configureAPIServer makes the API server behave as in production where envtest would not.
func (e *Environment) configureAPIServer() error {
	policy := filepath.Join(e.Dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	e.plane.ControlPlane.GetAPIServer().Configure().
		// The default of today's envtest, spelled out: without it every test about permissions would pass.
		Set("authorization-mode", "RBAC").
		// envtest turns the ServiceAccount plugin off for the sake of tests that create Pods.
		Disable("disable-admission-plugins").
		Set("audit-policy-file", policy).
		Set("audit-log-path", e.AuditLog)
	return nil
}

// openLogs has the control plane write its logs into the environment's folder.
func (e *Environment) openLogs() error {
	apiServer, etcd := e.plane.ControlPlane.GetAPIServer(), e.plane.ControlPlane.Etcd
	for _, name := range []string{"etcd", "kube-apiserver"} {
		log, err := os.Create(filepath.Join(e.Dir, name+".log"))
		if err != nil {
			return err
		}
		e.logs = append(e.logs, log)
	}
	etcd.Out, etcd.Err = e.logs[0], e.logs[0]
	apiServer.Out, apiServer.Err = e.logs[1], e.logs[1]
	return nil
}

// controlPlaneLogs is the end of both logs, for the error of a start that failed.
func (e *Environment) controlPlaneLogs() string {
	var text strings.Builder
	for _, log := range e.logs {
		fmt.Fprintf(&text, "--- the end of %s:\n%s", filepath.Base(log.Name()), tail(log.Name()))
	}
	return text.String()
}
