package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/serve"
)

type serveOptions struct {
	clusterOptions
	libraryOptions

	contexts []string
	versions changeOptions // --calico-version, of files
	serve    serve.Options
}

func newServe() *cobra.Command {
	o := serveOptions{serve: serve.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "serve [--context CONTEXT | -f STATE]",
		Short: "Serve the report of the current audit as a web page",
		Long: `Follow clusters or files and serve the report of their current audits as a web page at
/report.

The page shows what "bgpguard audit -o html" shows for the current state, and updates
itself while it is open. It also shows when and how each violation appeared, if the
webhook runs in the cluster and you may read its ConfigMap bgpguard-audit. The policies
are the cluster's BGPPolicies. Without BGPPolicies, all policies of the library are
evaluated with their defaults.

Several --context are shown as one overview: first the clusters that cannot be read,
then those with the most severe violations. With -f, the page shows the state of files
and changes with them.

By default the page is served on a loopback address over HTTP, without authentication,
with the permissions of your kubeconfig: list and watch Nodes, Calico's objects and
BGPPolicies. --secure serves it over HTTPS to users who may "get" the URL /report; any
other address requires it. Programs send a token as "Authorization: Bearer TOKEN";
browsers get a form at /login that takes a token. The API server of the first --context
authenticates the users, which needs the permission to create TokenReviews and
SubjectAccessReviews. config/components/serve runs it in a cluster.

The command only reads from clusters. It runs until it is interrupted or terminated.

Exit code: 0 terminated; 2 invalid input or flags, or a failure; 130 interrupted.`,
		Example: `  bgpguard serve
  bgpguard serve --context prod-eu --context prod-us
  bgpguard serve -f cluster/ --bind-address localhost:9000
  bgpguard serve --secure --bind-address :8444 --cert-dir /etc/bgpguard/certificate`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	f := cmd.Flags()
	s := &o.serve
	o.clusterOptions.add(f)
	f.StringArrayVar(&o.contexts, "context", nil, "`name` of a kubeconfig context; repeatable (default: the current context)")
	f.StringArrayVarP(&s.Files, "filename", "f", nil, "`file` or directory with a state, read again when it changes; repeatable")
	o.versions.addVersion(f)
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
	if err := o.shown(); err != nil {
		return err
	}
	return serve.Run(ctx, o.serve, stderr)
}

// shown sets what the page shows: the files of -f, or the clusters of --context.
func (o *serveOptions) shown() error {
	if err := o.serve.Validate(); err != nil {
		return err
	}
	version := o.versions.calicoVersion
	o.serve.Typha = o.versions.typha
	if len(o.serve.Files) > 0 {
		if len(o.contexts) > 0 || o.kubeconfig != "" {
			return errors.New("flags -f, --context and --kubeconfig are mutually exclusive: the page shows either files or clusters")
		}
		if version == "" {
			return nil
		}
		var err error
		o.serve.ClusterInformation, err = clusterInformation(version)
		return err
	}
	if version != "" {
		return errors.New("flag --calico-version requires -f: a cluster has its version")
	}
	contexts := o.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	for _, name := range contexts {
		live, err := o.clusterOptions.find(name)
		if err != nil {
			return err
		}
		o.serve.Clusters = append(o.serve.Clusters, serve.Cluster{Name: live.context, Config: live.config})
	}
	return nil
}
