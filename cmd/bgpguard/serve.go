package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/serve"
)

type serveOptions struct {
	clusterOptions
	libraryOptions

	context string
	serve   serve.Options
}

func newServe() *cobra.Command {
	o := serveOptions{serve: serve.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "serve [--context CONTEXT]",
		Short: "Serve the report of the current audit as a web page",
		Long: `Follow a cluster and serve the report of its current audit as a web page at /report.

The page shows what "bgpguard audit -o html" shows for the current state. It also shows
when and how each violation appeared, if the webhook runs in the cluster and you may
read its ConfigMap bgpguard-audit. The policies are the cluster's BGPPolicies. Without
BGPPolicies, all policies of the library are evaluated with their defaults.

By default the page is served on a loopback address over HTTP, without authentication,
with the permissions of your kubeconfig: list and watch Nodes, Calico's objects and
BGPPolicies. --secure serves it over HTTPS to users who may "get" the URL /report; any
other address requires it. Programs send a token as "Authorization: Bearer TOKEN";
browsers get a form at /login that takes a token. The authentication needs the
permission to create TokenReviews and SubjectAccessReviews. config/components/serve
runs it in a cluster.

The command only reads from the cluster. It runs until it is interrupted.

Exit code: 0 interrupted; 2 invalid input or flags, or a failure.`,
		Example: `  bgpguard serve
  bgpguard serve --context prod --bind-address localhost:9000
  bgpguard serve --secure --bind-address :8444 --cert-dir /etc/bgpguard/certificate`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	f := cmd.Flags()
	s := &o.serve
	o.clusterOptions.add(f)
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context (default: the current context)")
	f.StringVar(&s.BindAddress, "bind-address", s.BindAddress, "`HOST:PORT` of the page")
	f.BoolVar(&s.Secure, "secure", false, `serve over HTTPS to users who may "get" the URL /report`)
	f.StringVar(&s.CertDir, "cert-dir", "", "`directory` with tls.crt and tls.key, reloaded when they are replaced (default: a self-signed certificate)")
	f.StringVar(&s.HealthProbeBindAddress, "health-probe-bind-address", s.HealthProbeBindAddress, "`HOST:PORT` for /healthz and /readyz; 0 disables it")
	o.libraryOptions.add(f, "the cluster's BGPPolicies")
	f.Lookup("policies").Usage = "`file` or directory of BGPPolicies, reloaded when it changes; repeatable (default: the cluster's BGPPolicies)"
	f.StringVar(&s.OpaConfig, "opa-config", "", "OPA configuration `file` with services, keys and bundles to load policies from")
	f.StringVar(&s.Namespace, "namespace", "", "`namespace` of the webhook's ConfigMap (default: $POD_NAMESPACE, then that of the pod, then "+process.DefaultNamespace+")")
	f.StringVar(&s.CalicoNamespace, "calico-namespace", "", "`namespace` of calico-node, whose Secrets policies see by name and key (default: no Secret is read)")
	f.BoolVar(&s.IPAMBlocks, "ipam-blocks", false, "read IPAMBlocks, so that policies see which IPPools hold addresses of pods")
	addChoice(cmd, &s.LogFormat, "log-format", process.LogFormats, "log `format`")
	addChoice(cmd, &s.LogLevel, "log-level", process.LogLevels, "minimum log `level`")
	return endsItself(cmd)
}

func (o *serveOptions) run(ctx context.Context, stderr io.Writer) error {
	o.serve.Policies, o.serve.PolicyDir, o.serve.Version = o.policies, o.dirs, version
	if err := o.serve.Validate(); err != nil {
		return err
	}
	live, err := o.find(o.context)
	if err != nil {
		return err
	}
	o.serve.Cluster = live.context
	return serve.Run(ctx, live.config, o.serve, stderr)
}
