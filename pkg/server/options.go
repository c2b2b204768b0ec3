package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bgpguard/bgpguard/pkg/auditor"
)

// Options says how the process runs. Fields are named like their flags.
type Options struct {
	// Policies are files and directories of BGPPolicy documents; where there are
	// none, the cluster's BGPPolicies hold.
	Policies []string
	// PolicyDir are directories of Rego modules, or tarballs of bundles, whose
	// policies BGPPolicies can name beside those that are built in.
	PolicyDir []string
	// OpaConfig is the path of an OPA configuration with the services, keys and
	// bundles to load policies from; "" for none.
	OpaConfig string

	// Host and Port are where the webhook listens; Host "" means everywhere.
	Host string
	Port int
	// RequestTimeout is how long the answer to one request may take.
	RequestTimeout time.Duration
	// ShutdownDelay is how long requests are still taken after the process was
	// told to stop.
	ShutdownDelay time.Duration

	// CertDir holds tls.crt and tls.key. With "", bgpguard makes its
	// certificates itself and the other four options count.
	CertDir              string
	CertSecret           string
	CertService          string
	CertExtraDNSNames    []string
	WebhookConfiguration string

	// Kubeconfig is the path of one; with "", KUBECONFIG, then the cluster that
	// the process runs in, then ~/.kube/config.
	Kubeconfig string
	// Namespace is the one that the process runs in; "" finds it out.
	Namespace   string
	LeaderElect bool
	// CalicoNamespace is the one that calico-node runs in, whose Secrets are read,
	// of each its name and those of its keys; "" reads no Secret.
	CalicoNamespace string

	// AuditDelay is how long after a change the state is audited, AuditInterval how
	// long it is not audited at the most.
	AuditDelay    time.Duration
	AuditInterval time.Duration
	// Reports says as which kind of objects audits are reported, one of
	// auditor.ReportKinds.
	Reports string

	// MetricsBindAddress, HealthProbeBindAddress and ReportBindAddress are HOST:PORT,
	// "0" for none.
	MetricsBindAddress     string
	HealthProbeBindAddress string
	ReportBindAddress      string

	LogFormat string
	LogLevel  string
}

// DefaultOptions returns the options that hold where no flag is given.
func DefaultOptions() Options {
	return Options{
		Port:                   9443,
		RequestTimeout:         4500 * time.Millisecond,
		ShutdownDelay:          5 * time.Second,
		CertSecret:             "bgpguard-webhook-cert",
		CertService:            "bgpguard-webhook",
		WebhookConfiguration:   "bgpguard",
		AuditDelay:             2 * time.Second,
		AuditInterval:          5 * time.Minute,
		Reports:                auditor.ReportsAuto,
		MetricsBindAddress:     ":8443",
		HealthProbeBindAddress: ":8081",
		ReportBindAddress:      "0",
		LogFormat:              formatJSON,
		LogLevel:               "info",
	}
}

// AddFlags adds a flag for each option; their defaults are what o holds.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.Policies, "policies", o.Policies, "file or directory of BGPPolicy documents, read again when it changes, in place of the cluster's BGPPolicies; may be repeated")
	flags.StringArrayVar(&o.PolicyDir, "policy-dir", o.PolicyDir, "directory of Rego modules, or tarball of an OPA bundle, with policies that BGPPolicies can name, read again when it changes; may be repeated")
	flags.StringVar(&o.OpaConfig, "opa-config", o.OpaConfig, "OPA configuration file whose services, keys and bundles are used: policies from bundles over HTTP(S), from OCI registries or files, with their signatures verified")

	flags.StringVar(&o.Host, "host", o.Host, "address that the webhook listens on; empty for all")
	flags.IntVar(&o.Port, "port", o.Port, "port that the webhook listens on")
	flags.DurationVar(&o.RequestTimeout, "request-timeout", o.RequestTimeout, "longest time that an answer may take; keep it below timeoutSeconds of the webhook configuration")
	flags.DurationVar(&o.ShutdownDelay, "shutdown-delay", o.ShutdownDelay, "time to go on answering after SIGTERM, until every API server has learnt that this replica is not ready")

	flags.StringVar(&o.CertDir, "cert-dir", o.CertDir, "directory with tls.crt and tls.key, picked up again when they are replaced; without it, bgpguard makes and rotates its certificates")
	flags.StringVar(&o.CertSecret, "cert-secret", o.CertSecret, "Secret for the certificates that bgpguard makes")
	flags.StringVar(&o.CertService, "cert-service", o.CertService, "Service that the certificates are made for")
	flags.StringArrayVar(&o.CertExtraDNSNames, "cert-extra-dns-names", o.CertExtraDNSNames, "further DNS name that the certificates are made for; may be repeated")
	flags.StringVar(&o.WebhookConfiguration, "webhook-configuration", o.WebhookConfiguration, "ValidatingWebhookConfiguration to put the CA into")

	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig file; without it, $KUBECONFIG, then the cluster that the process runs in")
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "namespace of bgpguard's own objects; without it, $POD_NAMESPACE, then that of the pod's service account, then "+defaultNamespace)
	flags.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect, "elect a leader among the replicas; all of them answer requests in any case")

	flags.StringVar(&o.CalicoNamespace, "calico-namespace", o.CalicoNamespace, "namespace of calico-node, to tell policies which of the Secrets and keys that BGPPeers name are there; no value is kept; without it, no Secret is read")

	flags.DurationVar(&o.AuditDelay, "audit-delay", o.AuditDelay, "how long after a change the state is audited, so that what changes at once is one audit; the elected replica audits")
	flags.DurationVar(&o.AuditInterval, "audit-interval", o.AuditInterval, "how often the state is audited where nothing changes")
	flags.StringVar(&o.Reports, "reports", o.Reports, "objects that audits are reported as, for tools such as Policy Reporter: "+auditor.ReportsOpenReports+" (openreports.io), "+auditor.ReportsPolicyReport+" (wgpolicyk8s.io), "+auditor.ReportsAuto+" for the first of them that the cluster serves, "+auditor.ReportsNone)

	flags.StringVar(&o.MetricsBindAddress, "metrics-bind-address", o.MetricsBindAddress, `address that metrics are served on over HTTPS, to those whom RBAC lets "get" the URL /metrics; "0" for none`)
	flags.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", o.HealthProbeBindAddress, `address that /healthz and /readyz are served on; "0" for none`)

	flags.StringVar(&o.ReportBindAddress, "report-bind-address", o.ReportBindAddress, `address that the report of the current audit is served on as HTML over HTTPS, to those whom RBAC lets "get" the URL /report; "0" for none`)

	flags.StringVar(&o.LogFormat, "log-format", o.LogFormat, "format of the log: "+strings.Join(logFormats, " or "))
	flags.StringVar(&o.LogLevel, "log-level", o.LogLevel, "least level that is logged: debug, info or error")
}

// Validate names each flag whose value cannot be, and the value.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, flag string, value any, rule string) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s: %s, is %q", flag, rule, fmt.Sprint(value)))
		}
	}
	for _, path := range o.PolicyDir {
		check(path != "", "policy-dir", path, "must be a path")
	}
	for _, path := range o.Policies {
		check(path != "", "policies", path, "must be a path")
	}
	check(o.Port > 0 && o.Port < 1<<16, "port", o.Port, "must be from 1 to 65535")
	check(o.RequestTimeout > 0 && o.RequestTimeout <= 30*time.Second, "request-timeout", o.RequestTimeout, "must be above 0s and at most 30s, which is the longest that an API server waits")
	check(o.ShutdownDelay >= 0, "shutdown-delay", o.ShutdownDelay, "must not be negative")
	if o.CertDir == "" {
		check(isName(o.CertSecret), "cert-secret", o.CertSecret, "must be the name of a Secret where --cert-dir is not set")
		check(isName(o.CertService), "cert-service", o.CertService, "must be the name of a Service where --cert-dir is not set")
		check(isName(o.WebhookConfiguration), "webhook-configuration", o.WebhookConfiguration, "must be the name of a ValidatingWebhookConfiguration where --cert-dir is not set")
		for _, name := range o.CertExtraDNSNames {
			check(isName(name) && net.ParseIP(name) == nil, "cert-extra-dns-names", name, "must be a DNS name")
		}
	}
	check(o.Namespace == "" || isName(o.Namespace), "namespace", o.Namespace, "must be the name of a namespace")
	check(o.CalicoNamespace == "" || isName(o.CalicoNamespace), "calico-namespace", o.CalicoNamespace, "must be the name of a namespace")
	check(o.AuditDelay >= 0 && o.AuditDelay <= time.Minute, "audit-delay", o.AuditDelay, "must be from 0s to 1m")
	check(o.AuditInterval >= time.Second && o.AuditInterval >= o.AuditDelay, "audit-interval", o.AuditInterval, "must be at least 1s, and at least --audit-delay")
	check(slices.Contains(auditor.ReportKinds, o.Reports), "reports", o.Reports, "must be one of "+strings.Join(auditor.ReportKinds, ", "))
	check(isBindAddress(o.MetricsBindAddress), "metrics-bind-address", o.MetricsBindAddress, `must be HOST:PORT, :PORT or 0`)
	check(isBindAddress(o.HealthProbeBindAddress), "health-probe-bind-address", o.HealthProbeBindAddress, `must be HOST:PORT, :PORT or 0`)
	check(isBindAddress(o.ReportBindAddress), "report-bind-address", o.ReportBindAddress, `must be HOST:PORT, :PORT or 0`)
	check(slices.Contains(logFormats, o.LogFormat), "log-format", o.LogFormat, "must be "+strings.Join(logFormats, " or "))
	_, known := logLevels[o.LogLevel]
	check(known, "log-level", o.LogLevel, "must be debug, info or error")
	return errors.Join(errs...)
}

func isName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

func isBindAddress(address string) bool {
	if address == "0" {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n < 1<<16
}

const (
	defaultNamespace = "bgpguard-system"
	// namespaceFile is where kubelet tells a pod its namespace.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// namespace finds out the namespace where no flag names it. file is for tests.
func (o *Options) namespace(file string) string {
	if o.Namespace != "" {
		return o.Namespace
	}
	if name := os.Getenv("POD_NAMESPACE"); name != "" {
		return name
	}
	if content, err := os.ReadFile(file); err == nil && len(content) > 0 {
		return strings.TrimSpace(string(content))
	}
	return defaultNamespace
}
