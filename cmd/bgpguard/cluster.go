package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // Ways to log in that a kubeconfig may name.
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// clusterOptions say where clusters are found. Which context, or contexts, are
// meant is a flag of each command.
type clusterOptions struct {
	kubeconfig string
}

func (o *clusterOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` with the kubeconfig (default: as kubectl finds it)")
}

// liveCluster is a cluster that can be read.
type liveCluster struct {
	// context is its name in the kubeconfig, "" in a pod without a kubeconfig.
	context string
	config  *rest.Config
}

// String names the cluster in messages and reports.
func (c *liveCluster) String() string {
	if c.context == "" {
		return c.config.Host
	}
	return c.context
}

// find finds the cluster of a context; "" is the current one, or, without any
// kubeconfig, the cluster of the pod that this runs in.
func (o *clusterOptions) find(name string) (*liveCluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	rules.WarnIfAllMissing = false // It is an error below, where it matters.
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", plainPath(err))
	}
	if !clientcmdapi.IsConfigEmpty(&raw) {
		err = checkContext(&raw, name)
	} else if name != "" || !inPod() {
		err = fmt.Errorf("no kubeconfig (%s): name one with --kubeconfig or the environment variable KUBECONFIG", missing(rules))
	}
	if err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q of the kubeconfig cannot be used: %w", cmp.Or(name, raw.CurrentContext), err)
	}
	config.UserAgent = "bgpguard/" + version
	return &liveCluster{context: cmp.Or(name, raw.CurrentContext), config: config}, nil
}

// checkContext returns an error unless a kubeconfig has a context, and names those
// that it has.
func checkContext(raw *clientcmdapi.Config, name string) error {
	known := "known are " + strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	if len(raw.Contexts) == 0 {
		known = "it has none"
	}
	wanted := cmp.Or(name, raw.CurrentContext)
	switch found := raw.Contexts[wanted]; {
	case found != nil && raw.Clusters[found.Cluster] == nil:
		return fmt.Errorf("context %q of the kubeconfig is for the cluster %q, of which the kubeconfig knows nothing", wanted, found.Cluster)
	case found != nil:
		return nil
	case name != "":
		return fmt.Errorf("flag --context: the kubeconfig has no context %q; %s", name, known)
	case wanted != "":
		return fmt.Errorf("the current context %q is not in the kubeconfig: name one with --context; %s", wanted, known)
	case len(raw.Contexts) > 0:
		return fmt.Errorf("the kubeconfig has no current context: name one with --context; %s", known)
	default:
		return errors.New("the kubeconfig has no context: \"kubectl config set-context\" makes one")
	}
}

// inPod reports whether this runs in a pod, which may read its own cluster.
func inPod() bool {
	_, err := rest.InClusterConfig()
	return err == nil
}

// missing says where a kubeconfig was looked for.
func missing(rules *clientcmd.ClientConfigLoadingRules) string {
	files := rules.Precedence
	if rules.ExplicitPath != "" {
		files = []string{rules.ExplicitPath}
	}
	return strings.Join(files, ", ") + text.Either(len(files), " is not there or empty", " are not there or empty")
}

// plainPath turns "open x: no such file" into "x: no such file".
func plainPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// read reads the cluster, and tells on stderr how far it is.
func (c *liveCluster) read(ctx context.Context, stderr io.Writer) (*cluster.Reading, error) {
	p := newProgress(stderr)
	reading, err := cluster.Read(ctx, c.config, cluster.ReadOptions{Progress: p.show})
	p.end()
	return reading, err
}
