package server

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Options configure the webhook. Each field has a flag of the same name.
type Options struct {
	// Policies are files and directories of BGPPolicy documents. They replace the
	// cluster's BGPPolicies.
	Policies []string
	// PolicyDir are directories of Rego modules, or tarballs of bundles, whose
	// policies BGPPolicies can name in addition to the built-in ones.
	PolicyDir []string
	// OpaConfig is the path of an OPA configuration with services, keys and bundles
	// to load policies from; "" for none.
	OpaConfig string

	// Host and Port are where the webhook listens; Host "" means all addresses.
	Host string
	Port int
	// RequestTimeout bounds the answer to one request that is not about a BGPPolicy.
	RequestTimeout time.Duration
	// MaxDataAge is the longest time without an answer from the API server after which
	// changes are still evaluated.
	MaxDataAge time.Duration
	// ShutdownDelay is the time to keep answering requests after a signal to stop.
	ShutdownDelay time.Duration

	// CertDir holds tls.crt and tls.key. With "", bgpguard creates its own
	// certificate, from the other four options.
	CertDir              string
	CertSecret           string
	CertService          string
	CertExtraDNSNames    []string
	WebhookConfiguration string
	// FailurePolicy is the intended failurePolicy of the webhook for Calico's objects, Fail or
	// Ignore; audits report another one.
	FailurePolicy string
	// ClientCaFile holds the CAs of the certificates that clients of the webhook need; "" answers
	// every client.
	ClientCaFile string

	// Kubeconfig is a path. "" means $KUBECONFIG, then the cluster that the process runs
	// in, then ~/.kube/config.
	Kubeconfig string
	// Namespace holds bgpguard's own objects; see process.Namespace for "".
	Namespace   string
	LeaderElect bool
	// CalicoNamespace is the namespace of calico-node. The names and keys of its
	// Secrets are read; "" reads no Secret.
	CalicoNamespace string
	// IPAMBlocks is true if IPAMBlocks are read.
	IPAMBlocks bool
	// Typha says whether Typha is installed; state.TyphaUnknown means that the
	// ClusterInformation decides.
	Typha state.Typha

	// AuditDelay is the time from a change to an audit, AuditInterval the maximum
	// time between two audits.
	AuditDelay    time.Duration
	AuditInterval time.Duration
	// Reports is the kind of the report objects, one of auditor.ReportKinds.
	Reports string

	// MetricsBindAddress and HealthProbeBindAddress are HOST:PORT, or "0" for none.
	MetricsBindAddress     string
	HealthProbeBindAddress string

	LogFormat string
	LogLevel  string
}

// failurePolicies are the values of --failure-policy.
var failurePolicies = []string{string(admissionregistrationv1.Fail), string(admissionregistrationv1.Ignore)}

// DefaultOptions returns the options of a webhook without flags.
func DefaultOptions() Options {
	return Options{
		Port:                   9443,
		RequestTimeout:         4500 * time.Millisecond,
		MaxDataAge:             3 * time.Minute,
		ShutdownDelay:          5 * time.Second,
		CertSecret:             "bgpguard-webhook-cert",
		CertService:            "bgpguard-webhook",
		WebhookConfiguration:   "bgpguard",
		FailurePolicy:          string(admissionregistrationv1.Fail),
		AuditDelay:             2 * time.Second,
		AuditInterval:          5 * time.Minute,
		Reports:                auditor.ReportsAuto,
		MetricsBindAddress:     ":8443",
		HealthProbeBindAddress: ":8081",
		LogFormat:              process.LogJSON,
		LogLevel:               "info",
	}
}

// AddFlags adds a flag for each option. The current values are the defaults.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.Policies, "policies", o.Policies, "file or directory of BGPPolicy documents that replace the cluster's BGPPolicies, reloaded when it changes; repeatable")
	flags.StringArrayVar(&o.PolicyDir, "policy-dir", o.PolicyDir, "directory of Rego modules, or tarball of an OPA bundle, with policies in addition to the built-in library, reloaded when it changes; repeatable")
	flags.StringVar(&o.OpaConfig, "opa-config", o.OpaConfig, "OPA configuration file with services, keys and bundles: policies from HTTP(S) servers, OCI registries or files, with verified signatures")

	flags.StringVar(&o.Host, "host", o.Host, "address that the webhook listens on (default all addresses)")
	flags.IntVar(&o.Port, "port", o.Port, "port that the webhook listens on")
	flags.DurationVar(&o.RequestTimeout, "request-timeout", o.RequestTimeout, "request timeout, which must be less than timeoutSeconds of the webhook configuration")
	flags.DurationVar(&o.MaxDataAge, "max-data-age", o.MaxDataAge, "maximum time since the API server last answered, about once a minute, for each kind of objects; after that, changes are rejected with error 503, those of Nodes are allowed with a warning, and the webhook is not ready")
	flags.DurationVar(&o.ShutdownDelay, "shutdown-delay", o.ShutdownDelay, "time to keep answering requests after SIGTERM, until every API server has learned that this replica is not ready")

	flags.StringVar(&o.CertDir, "cert-dir", o.CertDir, "directory with tls.crt and tls.key, reloaded when they are replaced (default: bgpguard creates and rotates its own certificate)")
	flags.StringVar(&o.CertSecret, "cert-secret", o.CertSecret, "name of the Secret that holds the certificate that bgpguard creates")
	flags.StringVar(&o.CertService, "cert-service", o.CertService, "name of the Service that the certificate is valid for")
	flags.StringArrayVar(&o.CertExtraDNSNames, "cert-extra-dns-names", o.CertExtraDNSNames, "additional DNS name of the certificate; repeatable")
	flags.StringVar(&o.WebhookConfiguration, "webhook-configuration", o.WebhookConfiguration, "name of the ValidatingWebhookConfiguration that bgpguard writes its CA into")

	flags.StringVar(&o.FailurePolicy, "failure-policy", o.FailurePolicy, "intended failurePolicy of the webhook for Calico's objects, "+strings.Join(failurePolicies, " or ")+"; BGPPolicies report another one, for example after an emergency")

	flags.StringVar(&o.ClientCaFile, "client-ca-file", o.ClientCaFile, "file with the CA of the API server's client certificate for webhooks, reloaded when it is replaced; clients without a certificate of it get status 401 (default: the webhook answers every client)")

	flags.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "kubeconfig file (default $KUBECONFIG, then the cluster that the process runs in)")
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "namespace of bgpguard's own objects (default $POD_NAMESPACE, then that of the pod's service account, then "+process.DefaultNamespace+")")
	flags.BoolVar(&o.LeaderElect, "leader-elect", o.LeaderElect, "elect a leader among the replicas, which audits; every replica answers requests")

	flags.StringVar(&o.CalicoNamespace, "calico-namespace", o.CalicoNamespace, "namespace of calico-node, whose Secrets policies see by name and key, to find BGPPeers without a password; values are not kept (default: no Secret is read)")
	flags.BoolVar(&o.IPAMBlocks, "ipam-blocks", o.IPAMBlocks, "read IPAMBlocks, so that policies see which IPPools hold addresses of pods")
	flags.Var(&o.Typha, "typha", state.TyphaUsage)

	flags.DurationVar(&o.AuditDelay, "audit-delay", o.AuditDelay, "time from a change to the audit of the new state; changes during that time share one audit")
	flags.DurationVar(&o.AuditInterval, "audit-interval", o.AuditInterval, "maximum time between two audits")
	flags.StringVar(&o.Reports, "reports", o.Reports, "kind of the report objects for tools such as Policy Reporter: "+auditor.ReportsOpenReports+" (openreports.io), "+auditor.ReportsPolicyReport+" (wgpolicyk8s.io), "+auditor.ReportsAuto+" (the first of them that the cluster serves) or "+auditor.ReportsNone)

	flags.StringVar(&o.MetricsBindAddress, "metrics-bind-address", o.MetricsBindAddress, `HOST:PORT for metrics over HTTPS, for users who may "get" the URL /metrics; "0" disables it`)
	flags.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", o.HealthProbeBindAddress, `HOST:PORT for /healthz and /readyz; "0" disables it`)

	flags.StringVar(&o.LogFormat, "log-format", o.LogFormat, "log format: "+strings.Join(process.LogFormats, " or "))
	flags.StringVar(&o.LogLevel, "log-level", o.LogLevel, "minimum log level: "+strings.Join(process.LogLevels, ", "))
}

// Validate returns an error that names each flag with an invalid value.
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
	check(o.RequestTimeout > 0 && o.RequestTimeout <= 30*time.Second, "request-timeout", o.RequestTimeout, "must be above 0s and at most 30s, the maximum of an API server")
	check(o.MaxDataAge >= cluster.MinMaxAge, "max-data-age", o.MaxDataAge, fmt.Sprintf("must be at least %s, because the API server can be silent for a minute", cluster.MinMaxAge))
	check(o.ShutdownDelay >= 0, "shutdown-delay", o.ShutdownDelay, "must not be negative")
	if o.CertDir == "" {
		check(isName(o.CertSecret), "cert-secret", o.CertSecret, "must be the name of a Secret, or --cert-dir must be set")
		check(isName(o.CertService), "cert-service", o.CertService, "must be the name of a Service, or --cert-dir must be set")
		check(isName(o.WebhookConfiguration), "webhook-configuration", o.WebhookConfiguration, "must be the name of a ValidatingWebhookConfiguration, or --cert-dir must be set")
		for _, name := range o.CertExtraDNSNames {
			check(isName(name) && net.ParseIP(name) == nil, "cert-extra-dns-names", name, "must be a DNS name")
		}
	}
	check(slices.Contains(failurePolicies, o.FailurePolicy), "failure-policy", o.FailurePolicy, "must be "+strings.Join(failurePolicies, " or "))
	check(o.Namespace == "" || isName(o.Namespace), "namespace", o.Namespace, "must be the name of a namespace")
	check(o.CalicoNamespace == "" || isName(o.CalicoNamespace), "calico-namespace", o.CalicoNamespace, "must be the name of a namespace")
	check(o.AuditDelay >= 0 && o.AuditDelay <= time.Minute, "audit-delay", o.AuditDelay, "must be from 0s to 1m")
	check(o.AuditInterval >= time.Second && o.AuditInterval >= o.AuditDelay, "audit-interval", o.AuditInterval, "must be at least 1s, and at least --audit-delay")
	check(slices.Contains(auditor.ReportKinds, o.Reports), "reports", o.Reports, "must be one of "+strings.Join(auditor.ReportKinds, ", "))
	check(process.IsBindAddress(o.MetricsBindAddress), "metrics-bind-address", o.MetricsBindAddress, `must be HOST:PORT, :PORT or 0`)
	check(process.IsBindAddress(o.HealthProbeBindAddress), "health-probe-bind-address", o.HealthProbeBindAddress, `must be HOST:PORT, :PORT or 0`)
	check(slices.Contains(process.LogFormats, o.LogFormat), "log-format", o.LogFormat, "must be "+strings.Join(process.LogFormats, " or "))
	check(slices.Contains(process.LogLevels, o.LogLevel), "log-level", o.LogLevel, "must be one of "+strings.Join(process.LogLevels, ", "))
	return errors.Join(errs...)
}

func isName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }
