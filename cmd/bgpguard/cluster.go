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
	_ "k8s.io/client-go/plugin/pkg/client/auth" // Authentication plugins of kubeconfigs.
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// clusterOptions are the flags that select a kubeconfig. The flag --context differs between
// commands: some take several.
type clusterOptions struct {
	kubeconfig string
}

func (o *clusterOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: the one that kubectl uses)")
}

// liveCluster is a running cluster.
type liveCluster struct {
	// context is the name in the kubeconfig, "" in a pod without a kubeconfig.
	context string
	config  *rest.Config
}

// String returns the name of the cluster in messages and reports.
func (c *liveCluster) String() string {
	if c.context == "" {
		return c.config.Host
	}
	return c.context
}

// find returns the cluster of a context. "" is the current context or, in a pod without a
// kubeconfig, the cluster of the pod.
func (o *clusterOptions) find(name string) (*liveCluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	rules.WarnIfAllMissing = false // Reported below as an error.
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
		return nil, fmt.Errorf("context %q of the kubeconfig is invalid: %w", cmp.Or(name, raw.CurrentContext), err)
	}
	config.UserAgent = "bgpguard/" + version
	return &liveCluster{context: cmp.Or(name, raw.CurrentContext), config: config}, nil
}

// checkContext returns an error, with the known contexts, unless the kubeconfig has the
// context and its cluster.
func checkContext(raw *clientcmdapi.Config, name string) error {
	known := "known contexts: " + strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	if len(raw.Contexts) == 0 {
		known = "it has no contexts"
	}
	wanted := cmp.Or(name, raw.CurrentContext)
	switch found := raw.Contexts[wanted]; {
	case found != nil && raw.Clusters[found.Cluster] == nil:
		return fmt.Errorf("context %q of the kubeconfig refers to cluster %q, which is not in the kubeconfig", wanted, found.Cluster)
	case found != nil:
		return nil
	case name != "":
		return fmt.Errorf("flag --context: the kubeconfig has no context %q; %s", name, known)
	case wanted != "":
		return fmt.Errorf("the current context %q is not in the kubeconfig: select one with --context; %s", wanted, known)
	case len(raw.Contexts) > 0:
		return fmt.Errorf("the kubeconfig has no current context: select one with --context; %s", known)
	default:
		return errors.New("the kubeconfig has no contexts: create one with \"kubectl config set-context\"")
	}
}

// inPod reports whether this process runs in a pod with a ServiceAccount.
func inPod() bool {
	_, err := rest.InClusterConfig()
	return err == nil
}

// missing lists the files that do not contain a kubeconfig.
func missing(rules *clientcmd.ClientConfigLoadingRules) string {
	files := rules.Precedence
	if rules.ExplicitPath != "" {
		files = []string{rules.ExplicitPath}
	}
	return strings.Join(files, ", ") + text.Either(len(files), " is missing or empty", " are missing or empty")
}

// plainPath turns "open x: no such file" into "x: no such file".
func plainPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Path, e.Err)
	}
	return err
}

// read reads the state of the cluster. It shows the progress on stderr.
func (c *liveCluster) read(ctx context.Context, stderr io.Writer) (*cluster.Reading, error) {
	p := newProgress(stderr)
	reading, err := cluster.Read(ctx, c.config, cluster.ReadOptions{Progress: p.show})
	p.end()
	return reading, err
}
