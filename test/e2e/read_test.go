//go:build system

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/pkg/calico"
	reader "github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/test/env"
	"github.com/bgpguard/bgpguard/test/golden"
)

// manyNodes take three pages.
const manyNodes = 1203

func TestReadingACluster(t *testing.T) {
	t.Parallel()
	for _, group := range []env.Group{env.GroupV1, env.GroupV3} {
		t.Run(string(group), func(t *testing.T) {
			c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{group}}), group: group}
			c.describeNodes(t)
			t.Run("a cluster without filters is known to have none", func(t *testing.T) { c.roundTrip(t) })
			c.describe(t)
			t.Run("a snapshot holds what decides BGP and no more", func(t *testing.T) { c.golden(t) })
			if err := c.CreateNodes(t.Context(), env.Nodes(manyNodes)[2:]); err != nil {
				t.Fatal(err)
			}
			t.Run("a snapshot says what the cluster says", func(t *testing.T) { c.roundTrip(t) })
			t.Run("a kind is read page by page", func(t *testing.T) { c.pages(t) })
			t.Run("a list that expired begins again", func(t *testing.T) { c.expires(t) })
			t.Run("what may not be read is told", func(t *testing.T) { c.forbids(t) })
			t.Run("an object that does not parse is left out", func(t *testing.T) { c.leavesOut(t) })
		})
	}
}

// describeNodes makes two nodes, one of which is down, with what no snapshot is to
// hold.
func (c *cluster) describeNodes(t *testing.T) {
	t.Helper()
	down := func(n *corev1.Node) {
		n.Status.Conditions[0].Status = corev1.ConditionFalse
		n.Annotations["projectcalico.org/ASNumber"] = "many" // Calico ignores it and bgpguard says so.
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"example.com/image"}}}
	}
	if err := c.CreateNodes(t.Context(), []*corev1.Node{env.Node(0, env.RouteReflector("244.0.0.1")), env.Node(1, down)}); err != nil {
		t.Fatal(err)
	}
}

// describe makes an object of each other kind.
func (c *cluster) describe(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "create secret generic bgp --namespace=default --from-literal=tor=hunter2")
	objects := []string{
		c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true, asNumber: 64512"),
		c.object("BGPPeer", "tor", "peerIP: 10.9.0.1, asNumber: 64600, password: {secretKeyRef: {name: bgp, key: tor}}"),
		strings.Replace(c.object("BGPPeer", "reflectors", `nodeSelector: "!has(route-reflector)", peerSelector: has(route-reflector)`), "{name: reflectors}",
			`{name: reflectors, labels: {team: net}, annotations: {example.com/owner: "jane: \"yes\"\nno"}}`, 1),
		c.object("IPPool", "pods", "cidr: 10.244.0.0/16, ipipMode: Never, vxlanMode: Never"),
		c.object("FelixConfiguration", "default", "logSeverityScreen: Info"),
		c.object("ClusterInformation", "default", "calicoVersion: v3.31.2"),
		c.object("CalicoNodeStatus", "node-0000", "node: node-0000, classes: [BGP, Routes], updatePeriodSeconds: 10") + `status:
  lastUpdated: "2026-08-01T00:00:00Z"
  bgp:
    numberEstablishedV4: 1
    numberNotEstablishedV4: 0
    numberEstablishedV6: 0
    numberNotEstablishedV6: 0
    peersV4: [{peerIP: 10.0.0.2, type: NodeMesh, state: Established, since: "09:02:21"}]
  routes:
    routesV4: [{type: FIB, destination: 10.244.1.0/26, learnedFrom: {sourceType: NodeMesh, peerIP: 10.0.0.2}}]
`,
	}
	if c.group == env.GroupV3 {
		objects = append(objects, c.object("BGPFilter", "none", ""))
	} else { // As calicoctl writes labels through the old group.
		objects = append(objects, strings.Replace(c.object("BGPPeer", "wrapped", "peerIP: 10.9.0.2, asNumber: 64513"), "{name: wrapped}",
			`{name: wrapped, annotations: {projectcalico.org/metadata: '{"uid":"1","labels":{"team":"net"},"annotations":{"example.com/owner":"jane"}}'}}`, 1))
	}
	c.allowed(t, strings.Join(objects, "---\n"), "apply -f -")
}

// snapshot runs the command as a user does and returns the file.
func (c *cluster) snapshot(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.yaml")
	out, err := exec.CommandContext(t.Context(), "../../bin/bgpguard", "snapshot", "--kubeconfig", c.Admin.Kubeconfig, "-o", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "wrote "+file+": ") {
		t.Fatalf("error %v\n%s", err, out)
	}
	return file
}

func (c *cluster) golden(t *testing.T) {
	t.Helper()
	file := c.snapshot(t)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o, want 600", mode)
	}
	got := snapshotOf(t, file)
	if again := snapshotOf(t, c.snapshot(t)); again != got {
		t.Errorf("another snapshot of the same state differs:\n%s\n%s", got, again)
	}
	golden.Check(t, filepath.Join("testdata", "snapshot-"+string(c.group)+".yaml"), []byte(got))
}

var whenAndBy = regexp.MustCompile(`of \S+, read at \S+ by bgpguard \S+`)

// snapshotOf is the text of a snapshot without where and when it was taken.
func snapshotOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return whenAndBy.ReplaceAllString(string(text), "of CLUSTER, read at TIME by bgpguard VERSION")
}

func (c *cluster) roundTrip(t *testing.T) {
	t.Helper()
	live, err := reader.Read(t.Context(), c.Config, reader.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := c.snapshot(t)
	read, err := state.ReadFiles([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	saved, _, err := state.ReadState([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(read) != len(live.Objects) {
		t.Fatalf("the snapshot holds %d objects, the cluster %d", len(read), len(live.Objects))
	}
	for i, object := range live.Objects {
		if !calico.Equal(object, read[i].Object) {
			t.Errorf("%s differs:\n%v\n%v", object.ID(), calico.Manifest(object), calico.Manifest(read[i].Object))
		}
	}
	for _, kind := range []calico.Kind{calico.KindBGPFilter, calico.KindCalicoNodeStatus, calico.KindSecret} {
		if saved.Knows(kind) != live.State.Knows(kind) {
			t.Errorf("%s: the snapshot knows of them: %v, the reading %v", kind, saved.Knows(kind), live.State.Knows(kind))
		}
	}
	if got, want := summary(t, saved), summary(t, live.State); got != want {
		t.Errorf("the topology of the snapshot is\n%s\nthat of the cluster\n%s", got, want)
	}
}

func summary(t *testing.T, s *state.Snapshot) string {
	t.Helper()
	text, err := json.Marshal(topologytest.Compute(t, s, nil).Summary())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tap sees the requests of a reading, and may answer one itself: that it is gone.
type tap struct {
	next   http.RoundTripper
	answer func(*http.Request) string // the body of a 410, "" for what the API server says

	mu   sync.Mutex
	seen []string // "GET resource"
}

func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.RawQuery, "limit=") {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+filepath.Base(r.URL.Path))
		p.mu.Unlock()
	}
	if p.answer != nil {
		if body := p.answer(r); body != "" {
			header := http.Header{"Content-Type": {"application/json"}}
			return &http.Response{StatusCode: http.StatusGone, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}
	}
	return p.next.RoundTrip(r)
}

// tapped is the configuration of a client whose requests are seen.
func (c *cluster) tapped(answer func(*http.Request) string) (*rest.Config, *tap) {
	p := &tap{answer: answer}
	config := rest.CopyConfig(c.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		p.next = next
		return p
	})
	return config, p
}

func (c *cluster) pages(t *testing.T) {
	t.Helper()
	config, requests := c.tapped(nil)
	var shown []reader.Progress
	live, err := reader.Read(t.Context(), config, reader.ReadOptions{Progress: func(p reader.Progress) {
		if p.Kind == calico.KindNode {
			shown = append(shown, p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(live.State.Nodes()); n != manyNodes {
		t.Errorf("%d nodes, want %d", n, manyNodes)
	}
	want := "GET nodes GET nodes GET nodes GET bgpconfigurations GET bgppeers GET ippools GET felixconfigurations GET clusterinformations GET ipamblocks GET caliconodestatuses"
	if c.group == env.GroupV3 {
		want = strings.Replace(want, "ippools", "ippools GET bgpfilters", 1)
	}
	if got := strings.Join(requests.seen, " "); got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	if want := []reader.Progress{{Kind: "Node", Objects: 500, Total: manyNodes}, {Kind: "Node", Objects: 1000, Total: manyNodes}, {Kind: "Node", Objects: manyNodes, Total: manyNodes}}; !slices.Equal(shown, want) {
		t.Errorf("progress %v, want %v", shown, want)
	}
	if want := []string{"kind Secret was not read, so checks that depend on it are skipped: this command never lists Secrets"}; !slices.Equal(told(live), want) {
		t.Errorf("told %q, want %q", told(live), want)
	}
}

func told(r *reader.Reading) []string {
	out := make([]string, len(r.Unread))
	for i, u := range r.Unread {
		out[i] = u.String()
	}
	return out
}

// expires takes the API server's memory of a list away, in the middle of it.
func (c *cluster) expires(t *testing.T) {
	t.Helper()
	expired := func(times int) func(*http.Request) string {
		return func(r *http.Request) string {
			if !r.URL.Query().Has("continue") || times == 0 {
				return ""
			}
			times--
			return `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"The provided continue parameter is too old","reason":"Expired","code":410}`
		}
	}
	lists := func(seen []string) int {
		return len(slices.DeleteFunc(seen, func(s string) bool { return s != "GET nodes" }))
	}
	config, requests := c.tapped(expired(1))
	live, err := reader.Read(t.Context(), config, reader.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n, pages := len(live.State.Nodes()), lists(requests.seen); n != manyNodes || pages != 2+3 {
		t.Errorf("%d nodes of %d requests, want %d of 5", n, pages, manyNodes)
	}
	config, requests = c.tapped(expired(-1))
	_, err = reader.Read(t.Context(), config, reader.ReadOptions{})
	if pages := lists(requests.seen); err == nil || !strings.Contains(err.Error(), "the list expired 3 times before all of it was read") || pages != 3*2 {
		t.Errorf("error %v after %d requests, want that it gives up after 6", err, pages)
	}
}

// account makes a ServiceAccount that may list resources, and returns how it connects.
func (c *cluster) account(t *testing.T, name string, resources ...string) *rest.Config {
	t.Helper()
	c.allowed(t, "", "create serviceaccount "+name+" --namespace=default")
	// Bound before it first asks: a refusal is remembered for a while.
	c.allowed(t, "", "create clusterrole "+name+" --verb=list --resource="+strings.Join(resources, ","))
	c.allowed(t, "", "create clusterrolebinding "+name+" --clusterrole="+name+" --serviceaccount=default:"+name)
	kubeconfig, err := c.ServiceAccountKubeconfig(t.Context(), "default", name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (c *cluster) forbids(t *testing.T) {
	t.Helper()
	group, _, _ := strings.Cut(c.group.APIVersion(), "/")
	in := func(resources ...string) []string {
		out := []string{"nodes"}
		for _, r := range resources {
			out = append(out, r+"."+group)
		}
		return out
	}
	refused := func(who, resource string) string {
		return resource + "." + group + ` is forbidden: User "system:serviceaccount:default:` + who + `" cannot list resource "` + resource + `" in API group "` + group +
			`" at the cluster scope: you need permission to list them; check it with "kubectl auth can-i list ` + resource + "." + group + `"`
	}
	without := c.account(t, "few", in("bgpconfigurations", "bgppeers", "ippools", "felixconfigurations", "clusterinformations")...)
	live, err := reader.Read(t.Context(), without, reader.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kind CalicoNodeStatus was not read, so checks that depend on it are skipped: " + refused("few", "caliconodestatuses"),
		"kind IPAMBlock was not read, so checks that depend on it are skipped: " + refused("few", "ipamblocks"),
	}
	if c.group == env.GroupV3 {
		want = append([]string{"kind BGPFilter was not read, so checks that depend on it are skipped: " + refused("few", "bgpfilters")}, want...)
	}
	if got := told(live)[:len(live.Unread)-1]; !slices.Equal(got, want) { // The last is about Secrets.
		t.Errorf("told %q, want %q", got, want)
	}
	if live.State.Knows(calico.KindBGPFilter) {
		t.Error("BGPFilters that may not be listed are taken for known")
	}

	needed := map[string]string{
		"nonodes": "nodes", "nopeers": "bgppeers", "nofelix": "felixconfigurations",
	}
	for who, missing := range needed {
		t.Run("without "+missing, func(t *testing.T) {
			all := append([]string{"nodes"}, in("bgpconfigurations", "bgppeers", "ippools", "felixconfigurations", "clusterinformations", "bgpfilters", "caliconodestatuses")[1:]...)
			may := slices.DeleteFunc(all, func(r string) bool {
				return r == missing || r == missing+"."+group || r == "bgpfilters.crd.projectcalico.org"
			})
			_, err := reader.Read(t.Context(), c.account(t, who, may...), reader.ReadOptions{})
			want := refused(who, missing)
			if missing == "nodes" {
				want = `nodes is forbidden: User "system:serviceaccount:default:nonodes" cannot list resource "nodes" in API group "" at the cluster scope: ` +
					`you need permission to list them; check it with "kubectl auth can-i list nodes"`
			}
			if err == nil || err.Error() != want {
				t.Errorf("error %v\nwant %s", err, want)
			}
		})
	}

	stranger := rest.AnonymousClientConfig(c.Config)
	stranger.BearerToken = "expired"
	if _, err := reader.Read(t.Context(), stranger, reader.ReadOptions{}); err == nil || !strings.Contains(err.Error(), " rejected the kubeconfig's credentials, which are missing, wrong or expired: ") {
		t.Errorf("error %v, want that the credentials are wrong", err)
	}
}

// leavesOut runs last: it leaves objects behind that do not parse.
func (c *cluster) leavesOut(t *testing.T) {
	t.Helper()
	c.allowed(t, c.object("BGPPeer", "slow", "peerIP: 10.9.0.3, asNumber: 64513, maxRestartTime: two minutes"), "apply -f -")
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "../../bin/bgpguard", "snapshot", "--kubeconfig", c.Admin.Kubeconfig, "-o", "-")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatal(errors.Join(err, errors.New(stderr.String())))
	}
	note := `BGPPeer slow is ignored, because it does not parse: spec.maxRestartTime: must be a duration such as "120s" or "2m", is "two minutes"`
	if !strings.Contains(stderr.String(), "note: "+note+"\n") || !strings.Contains(stdout.String(), "\n# Note: "+note+".\n") {
		t.Errorf("stderr\n%s\nand the snapshot's first 1,000 bytes\n%.1000s\nmust both say\n%s", stderr.String(), stdout.String(), note)
	}
	if strings.Contains(stdout.String(), "name: slow") {
		t.Error("the object is in the snapshot, which could not be read back")
	}
	if _, err := c.Client.CoreV1().Secrets("default").Get(t.Context(), "bgp", metav1.GetOptions{}); err != nil || strings.Contains(stdout.String(), "hunter2") {
		t.Errorf("error %v, or a password is in the snapshot", err)
	}
}
