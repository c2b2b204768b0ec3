package auditor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

var began = time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)

// apiServer is a fake API server with the ConfigMap and Events. Its requests can fail and are
// counted. The tests in test/e2e use a real API server.
type apiServer struct {
	client.Client
	configMap *corev1.ConfigMap
	// exemptions is the ConfigMap of exemptions.
	exemptions *corev1.ConfigMap
	events     map[string]*eventsv1.Event
	// writes counts the writes of the ConfigMap, created the writes of Events.
	writes, created int
	// fail maps the operations that fail, "read", "write" or "event", to their errors. If lost
	// is true, a write succeeds and its answer is lost.
	fail map[string]error
	lost bool
}

func newAPIServer() *apiServer {
	return &apiServer{events: map[string]*eventsv1.Event{}, fail: map[string]error{}}
}

var configMaps = schema.GroupResource{Resource: "configmaps"}

func (a *apiServer) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	if err := a.fail["read"]; err != nil {
		return err
	}
	for _, o := range []*corev1.ConfigMap{a.configMap, a.exemptions} {
		if o != nil && client.ObjectKeyFromObject(o) == key {
			o.DeepCopyInto(out.(*corev1.ConfigMap))
			return nil
		}
	}
	return apierrors.NewNotFound(configMaps, key.Name)
}

func (a *apiServer) Create(_ context.Context, in client.Object, _ ...client.CreateOption) error {
	switch o := in.(type) {
	case *eventsv1.Event:
		if err := a.fail["event"]; err != nil {
			return err
		}
		if a.events[o.Name] != nil {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, o.Name)
		}
		if len(o.Note) > 1024 {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, o.Name, nil)
		}
		a.events[o.Name] = o.DeepCopy()
		a.created++
	case *corev1.ConfigMap:
		if o.Name == exemptionsName {
			return a.putExemptions(o)
		}
		if a.configMap != nil {
			return apierrors.NewAlreadyExists(configMaps, o.Name)
		}
		return a.put(o)
	}
	return nil
}

func (a *apiServer) Update(_ context.Context, in client.Object, _ ...client.UpdateOption) error {
	o := in.(*corev1.ConfigMap)
	switch {
	case o.Name == exemptionsName:
		return a.putExemptions(o)
	case a.configMap == nil:
		return apierrors.NewNotFound(configMaps, o.Name)
	case a.configMap.ResourceVersion != o.ResourceVersion:
		return apierrors.NewConflict(configMaps, o.Name, errors.New("it was changed"))
	}
	return a.put(o)
}

// putExemptions stores the ConfigMap of exemptions if o has its version.
func (a *apiServer) putExemptions(o *corev1.ConfigMap) error {
	version := 0
	if a.exemptions != nil {
		version, _ = strconv.Atoi(a.exemptions.ResourceVersion)
		if o.ResourceVersion != a.exemptions.ResourceVersion {
			return apierrors.NewConflict(configMaps, o.Name, errors.New("it was changed"))
		}
	}
	a.exemptions = o.DeepCopy()
	a.exemptions.ResourceVersion = strconv.Itoa(version + 1)
	return nil
}

func (a *apiServer) put(o *corev1.ConfigMap) error {
	if err := a.fail["write"]; err != nil {
		return err
	}
	size := 0
	for _, data := range o.BinaryData {
		size += len(data)
	}
	if size > 1<<20 {
		return apierrors.NewRequestEntityTooLargeError("limit is 1 MiB")
	}
	a.writes++
	kept := o.DeepCopy()
	kept.ResourceVersion = strconv.Itoa(a.writes)
	a.configMap = kept
	if a.lost {
		a.lost = false
		return errors.New("connection reset")
	}
	o.ResourceVersion = kept.ResourceVersion
	return nil
}

// eventLines lists the Events: reason, object and the beginning of the note.
func (a *apiServer) eventLines() string {
	var out []string
	for _, e := range a.events {
		note := strings.ReplaceAll(e.Note, " ("+"https://github.com/bgpguard/bgpguard/blob/main/docs/policies/mesh-node-limit.md)", "")
		out = append(out, fmt.Sprintf("%s %s %s %s: %s", e.EventTime.UTC().Format("15:04:05"), e.Reason, e.Regarding.Kind, e.Regarding.Name, note))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// stateOf is a Cluster.
type stateOf struct {
	mu       sync.Mutex
	snapshot *state.Snapshot
	err      error
}

func (s *stateOf) set(snapshot *state.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot = snapshot
}

func (s *stateOf) Snapshot() (*state.Snapshot, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, 0, s.err
}

// published is a Publisher.
type published struct {
	mu     sync.Mutex
	audits []*audit.Audit
	err    error
}

func (p *published) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.audits)
}

func (p *published) Publish(_ context.Context, a *audit.Audit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.audits = append(p.audits, a)
	}
	return p.err
}

// replica is an auditor in a test.
type replica struct {
	*Auditor
	state *stateOf
	out   *published
	log   *bytes.Buffer
	at    time.Time
}

// start returns an auditor of s that was elected. Its clock changes only when a test sets it.
func start(t testing.TB, server *apiServer, set *policy.Set, s *state.Snapshot) *replica {
	t.Helper()
	r := &replica{state: &stateOf{snapshot: s}, out: &published{}, log: &bytes.Buffer{}, at: began}
	log := logr.FromSlogHandler(slog.NewTextHandler(r.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "stack" {
			return slog.Attr{}
		}
		return a
	}}))
	now := func() time.Time { return r.at }
	r.Auditor = &Auditor{
		engine: validate.NewEngine(set), cluster: r.state, log: log, now: now, changed: loop.NewSignal(), phase: loading, throttle: newThrottle(),
		options: Options{Delay: 2 * time.Second, Interval: 5 * time.Minute, Notes: func() []string { return []string{"a note"} }, Publishers: []Publisher{r.out}},
		store:   &store{reader: server, writer: server, namespace: "bgpguard-system", interval: 5 * time.Minute, log: log},
		events: &events{writer: server, replica: "r", log: log, reference: func(_ context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool) {
			return corev1.ObjectReference{Kind: string(kind), Name: name}, kind != calico.KindSecret
		}},
		exemptions: &Exemptions{reader: server, writer: server, namespace: "bgpguard-system", replica: "r", log: log, now: now, queue: make(chan exemption, maxQueue)},
	}
	return r
}

// then advances the clock, sets the state to s, and runs a turn of the auditor.
func (r *replica) then(t testing.TB, after time.Duration, s *state.Snapshot) time.Duration {
	t.Helper()
	r.at = r.at.Add(after)
	r.state.set(s)
	return r.turn(t.Context())
}

// cluster returns a state of n nodes and more objects, with the mesh on or off.
func cluster(t testing.TB, n int, mesh bool, more ...calico.Object) *state.Snapshot {
	t.Helper()
	objects := slices.Concat(more, []calico.Object{calicotest.Object(t, "BGPConfiguration", calico.Default, map[string]any{"nodeToNodeMeshEnabled": mesh})})
	for i := range n {
		objects = append(objects, calicotest.Object(t, "Node", fmt.Sprintf("node-%d", i), map[string]any{"bgp": map[string]any{"ipv4Address": fmt.Sprintf("10.0.0.%d/8", i+1)}}))
	}
	return state.New(objects...)
}

const (
	deny3   = "mesh-node-limit parameters: {maxNodes: 3}, validationActions: [Deny]"
	hygiene = "selector-hygiene validationActions: [Warn]"
)

// policies compiles BGPPolicies. Each spec is the name of a policy of the library, followed by
// further fields of the BGPPolicy's spec.
func policies(t testing.TB, specs ...string) *policy.Set {
	t.Helper()
	var text strings.Builder
	for _, spec := range specs {
		name, rest, _ := strings.Cut(spec, " ")
		fmt.Fprintf(&text, "---\napiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: %s}\nspec: {policy: %[1]s, %s}\n", name, rest)
	}
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, err := policy.Load([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
