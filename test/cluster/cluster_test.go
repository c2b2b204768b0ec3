//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	// patience is how long a step may take, which takes seconds on a machine with nothing else to do.
	patience     = 3 * time.Minute
	pollInterval = 100 * time.Millisecond

	apiServer = "https://10.77.0.1:6443"
	services  = "10.96.0.0/16"
	sandbox   = "registry.invalid/pause:1"
)

// identities are the users of the static tokens, with the programs as in a real cluster.
var identities = map[string]struct{ user, group string }{
	"admin":                   {"admin", "system:masters"},
	"kube-controller-manager": {"system:kube-controller-manager", ""},
	"kube-scheduler":          {"system:kube-scheduler", ""},
	"kube-proxy":              {"system:kube-proxy", ""},
	nodes[0].name:             {"system:node:" + nodes[0].name, "system:nodes"},
	nodes[1].name:             {"system:node:" + nodes[1].name, "system:nodes"},
}

// cluster is a running cluster.
type cluster struct {
	root    string // of the repository
	state   string // the directory of its files
	plane   env.ControlPlane
	nodes   []*node
	kubectl env.Kubectl
	client  kubernetes.Interface
	objects dynamic.Interface

	processes []*env.Process
}

// start starts a cluster of all nodes. It ends with the tests.
func start(t *testing.T) *cluster {
	t.Helper()
	root, err := env.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{root: root, state: os.Getenv(stateVariable)}
	t.Cleanup(func() {
		if t.Failed() {
			c.explain(t)
		}
	})
	if c.plane, err = env.FindControlPlane(root); err != nil {
		t.Fatal(err)
	}
	for path, target := range map[string]string{
		"cluster/kubelet": "nodes", "cluster/ctr": "nodes", "cluster/pause": "nodes", "webhook": "build", "crds/v3": "crds",
		"tools/image": "bin/tools/image", "tools/helm": "bin/tools/helm",
	} {
		if err := env.Need(filepath.Join(root, "bin", path), "run `make "+target+"`"); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range nodes {
		n, err := newNode(context.Background(), m) // The nodes end after the cleanup of the test.
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.startControlPlane(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		if err := c.startNode(n); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// program returns the path of a program of the cluster.
func (c *cluster) program(name string) string { return filepath.Join(c.root, "bin", "cluster", name) }

// file returns the path of a file of the cluster.
func (c *cluster) file(name string) string { return filepath.Join(c.state, name) }

// kubeconfig returns the path of the kubeconfig of an identity.
func (c *cluster) kubeconfig(identity string) string { return c.file(identity + ".kubeconfig") }

// launch starts a program on a node. Its log is in the directory of the cluster.
func (c *cluster) launch(n *node, program string, args ...string) error {
	command := n.command(program, args...)
	// containerd finds its shim and runc, kube-proxy finds nft.
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(c.program("pause"))+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	process, err := env.Launch(c.state, n.name+"-"+filepath.Base(program), command)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, process)
	return nil
}

// startControlPlane starts the control plane on the first node and returns when the API server is ready.
func (c *cluster) startControlPlane(ctx context.Context) error {
	if err := c.writeIdentities(); err != nil {
		return err
	}
	n := c.nodes[0]
	if err := errors.Join(
		c.launch(n, c.plane.Etcd, "--data-dir="+c.file("etcd"), "--listen-client-urls=http://127.0.0.1:2379",
			"--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync"),
		c.launch(n, c.plane.APIServer, "--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+n.address, "--secure-port=6443",
			"--tls-cert-file="+c.file("api.crt"), "--tls-private-key-file="+c.file("api.key"), "--token-auth-file="+c.file("tokens.csv"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--service-cluster-ip-range="+services,
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.file("sa.key"),
			"--service-account-signing-key-file="+c.file("sa.key"),
			// Kubernetes evicts pods after 300 s from a node that is not ready, which is long for a test.
			"--default-not-ready-toleration-seconds=5",
			// The names of the nodes are in no DNS.
			"--kubelet-preferred-address-types=InternalIP"),
	); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig("admin"))
	if err != nil {
		return err
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.objects, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	c.kubectl = env.NewKubectl(c.plane.Kubectl, c.kubeconfig("admin"))
	if err := await(ctx, func(ctx context.Context) error {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	// The controller manager ends if it waits too long for the API server, and nothing would start it again.
	return errors.Join(
		c.launch(n, c.program("kube-controller-manager"), "--kubeconfig="+c.kubeconfig("kube-controller-manager"),
			"--root-ca-file="+c.file("api.crt"), "--service-account-private-key-file="+c.file("sa.key"),
			"--use-service-account-credentials", "--leader-elect=false",
			// It writes every Node when their number grows.
			"--controllers=*,-ttl-controller",
			// Nodes without a kubelet stay ready.
			"--node-monitor-grace-period=1h", "--node-startup-grace-period=1h"),
		c.launch(n, c.program("kube-scheduler"), "--kubeconfig="+c.kubeconfig("kube-scheduler"), "--leader-elect=false"),
	)
}

// writeIdentities writes the certificate of the API server, the key of ServiceAccounts, and a token and a kubeconfig for
// each identity.
func (c *cluster) writeIdentities() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey(nodes[0].address, []net.IP{net.IPv4(10, 96, 0, 1)}, []string{"kubernetes.default.svc"})
	if err != nil {
		return err
	}
	accounts, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	var tokens strings.Builder
	for name, identity := range identities {
		token := name + "-token"
		fmt.Fprintf(&tokens, "%s,%s,%s,%s\n", token, identity.user, name, identity.group)
		const entry = "cluster"
		config := clientcmdapi.NewConfig()
		config.Clusters[entry] = &clientcmdapi.Cluster{Server: apiServer, CertificateAuthority: c.file("api.crt")}
		config.AuthInfos[entry] = &clientcmdapi.AuthInfo{Token: token}
		config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: entry}
		config.CurrentContext = entry
		if err := clientcmd.WriteToFile(*config, c.kubeconfig(name)); err != nil {
			return err
		}
	}
	for name, data := range map[string][]byte{"api.crt": certificate, "api.key": key, "sa.key": accounts, "tokens.csv": []byte(tokens.String())} {
		if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// containerdConfig is the configuration of containerd on every node.
const containerdConfig = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + sandbox + `"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # A machine without CAP_SYS_RESOURCE cannot lower a score.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  # A CNI plugin of the machine must not make the node ready.
  bin_dirs = ["/run/cni"]
  conf_dir = "/run/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
`

// kubeletConfig is the configuration of a kubelet; %s are the node's name, the path of a resolv.conf, and taints.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
# Each kubelet removes cgroups below its root that are not of its pods.
cgroupRoot: /%s
failCgroupV1: false
failSwapOn: false
# A machine without CAP_SYS_RESOURCE cannot lower a score.
oomScoreAdj: 0
resolvConf: %s
volumePluginDir: /run/kubelet-plugins
makeIPTablesUtilChains: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
# The disk is that of the machine.
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
registerWithTaints: %s
`

// startNode starts the programs of a node.
func (c *cluster) startNode(n *node) error {
	taints := "[]"
	if n.taint != "" {
		taints = fmt.Sprintf("[{key: %s, effect: NoSchedule}]", n.taint)
	}
	containerd, kubelet, resolv := c.file("containerd.toml"), c.file(n.name+"-kubelet.yaml"), c.file("resolv.conf")
	for path, text := range map[string]string{
		containerd: containerdConfig, resolv: "nameserver 192.0.2.53\n", kubelet: fmt.Sprintf(kubeletConfig, n.name, resolv, taints),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(
		c.launch(n, c.program("containerd"), "--config="+containerd),
		c.launch(n, c.program("kubelet"), "--config="+kubelet, "--kubeconfig="+c.kubeconfig(n.name), "--node-ip="+n.address,
			"--hostname-override="+n.name, "--root-dir=/var/lib/kubelet",
			// In a zone with ready nodes, those of createNodes. The controller manager evicts no pods while all nodes of all zones
			// are not ready, and does not begin when only a new zone has ready nodes.
			"--node-labels=topology.kubernetes.io/region=region-1,topology.kubernetes.io/zone=zone-1"),
		c.launch(n, c.program("kube-proxy"), "--proxy-mode=nftables", "--kubeconfig="+c.kubeconfig("kube-proxy"), "--hostname-override="+n.name,
			// Of the whole machine, not of a namespace.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0", "--oom-score-adj=0"),
	)
}

// importImage builds an image without a registry, as a release does, and makes it known to containerd on every node.
func (c *cluster) importImage(ctx context.Context, name, dockerfile, target, programs string) error {
	archive := c.file("image.tar")
	if err := execute(exec.CommandContext(ctx, filepath.Join(c.root, "bin", "tools", "image"), "-dockerfile", filepath.Join(c.root, dockerfile),
		"-target", target, "-name", name, "-platform", "linux/"+runtime.GOARCH+"="+filepath.Join(c.root, programs), "-output", archive)); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := await(ctx, func(context.Context) error { return execute(n.command(c.program("ctr"), "version")) }); err != nil {
			return err
		}
		if err := execute(n.command(c.program("ctr"), "--namespace=k8s.io", "images", "import", "--local", archive)); err != nil {
			return err
		}
	}
	return nil
}

// execute runs a command and returns an error with its output.
func execute(command *exec.Cmd) error {
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, out)
	}
	return nil
}

// await repeats a check until it returns nil. When patience ends, await returns the check's last error.
func await(ctx context.Context, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// eventually waits until a check returns nil.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	if err := await(t.Context(), check); err != nil {
		t.Fatal(err)
	}
}

// run runs a kubectl or helm command line, which must succeed, and returns its output. IMAGE and TAG stand for those of
// image.
func (c *cluster) run(t *testing.T, line, image string) string {
	t.Helper()
	_, tag, _ := strings.Cut(filepath.Base(image), ":")
	words := strings.Fields(strings.NewReplacer("IMAGE", image, "TAG", tag).Replace(line))
	if words[0] == "kubectl" {
		return c.kubectlRun(t, "", words[1:]...)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(c.root, "bin", "tools", words[0]), words[1:]...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.kubectl.Kubeconfig,
		"HELM_CACHE_HOME="+c.state, "HELM_CONFIG_HOME="+c.state, "HELM_DATA_HOME="+c.state)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// kubectlRun runs kubectl with an input, and returns its output. It must succeed.
func (c *cluster) kubectlRun(t *testing.T, input string, args ...string) string {
	t.Helper()
	result, err := c.kubectl.RunWithInput(t.Context(), input, args...)
	if err := errors.Join(err, result.Err()); err != nil {
		t.Fatal(err)
	}
	return result.Stdout
}

// explain logs what helps to find out why a test failed.
func (c *cluster) explain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, process := range c.processes {
		t.Logf("the end of %s:\n%s", filepath.Base(process.LogFile), process.Log())
	}
	if c.client == nil {
		return
	}
	for _, args := range [][]string{
		{"get", "nodes,pods", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"-n", namespace, "logs", "-l", "app.kubernetes.io/name=bgpguard", "--tail=40", "--prefix"},
	} {
		result, err := c.kubectl.Run(ctx, args...)
		t.Logf("%s: %v\n%s%s", result, err, result.Stdout, result.Stderr)
	}
}
