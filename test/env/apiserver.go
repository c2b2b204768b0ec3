package env

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// auditPolicy records the requests of bgpguard's ServiceAccount, and those that write the objects that bgpguard reviews,
// with user and annotations.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [system:serviceaccount:bgpguard-system:bgpguard]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: crd.projectcalico.org
  - group: projectcalico.org
  - group: policy.bgpguard.io
  - group: openreports.io
  - group: wgpolicyk8s.io
  - group: ""
    resources: [nodes, nodes/status]
- level: None
`

// configureAPIServer sets options that envtest does not set as in production.
func (e *Environment) configureAPIServer(admission string) error {
	policy := filepath.Join(e.Dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	arguments := e.plane.ControlPlane.GetAPIServer().Configure().
		// It is the default of envtest. It is explicit because without it every test of permissions would pass.
		Set("authorization-mode", "RBAC").
		// envtest disables the ServiceAccount plugin for tests that create Pods.
		Disable("disable-admission-plugins").
		Set("audit-policy-file", policy).
		Set("audit-log-path", e.AuditLog)
	if admission != "" {
		arguments.Set("admission-control-config-file", admission)
	}
	return nil
}

// openLogs makes the control plane write its logs to the environment's directory.
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

// controlPlaneLogs returns the end of both logs, for the error of a failed start.
func (e *Environment) controlPlaneLogs() string {
	var text strings.Builder
	for _, log := range e.logs {
		fmt.Fprintf(&text, "--- the end of %s:\n%s", filepath.Base(log.Name()), tail(log.Name()))
	}
	return text.String()
}
