package server

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// kebab returns the flag of a field: cert-dir for CertDir.
func kebab(field string) string {
	field = strings.NewReplacer("DNS", "Dns", "IPAM", "Ipam").Replace(field)
	var b strings.Builder
	for i, r := range field {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func TestEveryOptionHasItsFlag(t *testing.T) {
	o := DefaultOptions()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	fields := reflect.TypeFor[Options]()
	for field := range fields.Fields() {
		if name := kebab(field.Name); flags.Lookup(name) == nil {
			t.Errorf("there is no --%s", name)
		}
	}
	count := 0
	flags.VisitAll(func(*pflag.Flag) { count++ })
	if count != fields.NumField() {
		t.Errorf("%d flags for %d options", count, fields.NumField())
	}
	if !reflect.DeepEqual(o, DefaultOptions()) {
		t.Errorf("the flags' defaults are %+v", o)
	}
	if err := o.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"an empty path":                {func(o *Options) { o.Policies = []string{""} }, `--policies: must be a path, is ""`},
		"an empty directory":           {func(o *Options) { o.PolicyDir = []string{""} }, `--policy-dir: must be a path, is ""`},
		"a port out of range":          {func(o *Options) { o.Port = 65536 }, `--port: must be from 1 to 65535, is "65536"`},
		"no time for a request":        {func(o *Options) { o.RequestTimeout = 0 }, `--request-timeout: must be above 0s and at most 30s, the maximum of an API server, is "0s"`},
		"a short age of the data":      {func(o *Options) { o.MaxDataAge = time.Minute }, `--max-data-age: must be at least 1m30s, because the API server can be silent for a minute, is "1m0s"`},
		"a negative delay":             {func(o *Options) { o.ShutdownDelay = -time.Second }, `--shutdown-delay: must not be negative, is "-1s"`},
		"no Secret for certificates":   {func(o *Options) { o.CertSecret = "" }, `--cert-secret: must be the name of a Secret, or --cert-dir must be set, is ""`},
		"no Secret, but files":         {func(o *Options) { o.CertSecret, o.CertDir = "", "/certs" }, ``},
		"an address instead of a name": {func(o *Options) { o.CertExtraDNSNames = []string{"10.0.0.1"} }, `--cert-extra-dns-names: must be a DNS name, is "10.0.0.1"`},
		"an invalid namespace":         {func(o *Options) { o.Namespace = "A b" }, `--namespace: must be the name of a namespace, is "A b"`},
		"an invalid Calico namespace":  {func(o *Options) { o.CalicoNamespace = "A b" }, `--calico-namespace: must be the name of a namespace, is "A b"`},
		"a negative audit delay":       {func(o *Options) { o.AuditDelay = -1 }, `--audit-delay: must be from 0s to 1m, is "-1ns"`},
		"a long audit delay":           {func(o *Options) { o.AuditDelay = 2 * time.Minute }, `--audit-delay: must be from 0s to 1m, is "2m0s"`},
		"no time between audits":       {func(o *Options) { o.AuditInterval = 0 }, `--audit-interval: must be at least 1s, and at least --audit-delay, is "0s"`},
		"an interval below the delay":  {func(o *Options) { o.AuditInterval = time.Second }, `--audit-interval: must be at least 1s, and at least --audit-delay, is "1s"`},
		"audits each second":           {func(o *Options) { o.AuditDelay, o.AuditInterval = time.Second, time.Second }, ``},
		"an unknown failure policy":    {func(o *Options) { o.FailurePolicy = "fail" }, `--failure-policy: must be Fail or Ignore, is "fail"`},
		"unknown reports":              {func(o *Options) { o.Reports = "xml" }, `--reports: must be one of auto, openreports, policyreport, none, is "xml"`},
		"an address without a port":    {func(o *Options) { o.MetricsBindAddress = "localhost" }, `--metrics-bind-address: must be HOST:PORT, :PORT or 0, is "localhost"`},
		"no metrics":                   {func(o *Options) { o.MetricsBindAddress = "0" }, ``},
		"probes on loopback":           {func(o *Options) { o.HealthProbeBindAddress = "[::1]:8081" }, ``},
		"an unknown format":            {func(o *Options) { o.LogFormat = "xml" }, `--log-format: must be json or text, is "xml"`},
		"an unknown level":             {func(o *Options) { o.LogLevel = "loud" }, `--log-level: must be one of debug, info, error, is "loud"`},
		"two flags":                    {func(o *Options) { o.Port, o.LogLevel = 0, "" }, "--port: must be from 1 to 65535, is \"0\"\n--log-level: must be one of debug, info, error, is \"\""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := DefaultOptions()
			test.change(&o)
			got := ""
			if err := o.Validate(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
