package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// fakeCluster is the store of a cluster, and what the webhook recorded there: nothing.
type fakeCluster struct {
	snapshot *state.Snapshot
	age      time.Duration
	err      error // of Snapshot
	unread   []cluster.Unread
	trailErr error
}

func (f *fakeCluster) Snapshot() (*state.Snapshot, time.Duration, error) {
	return f.snapshot, f.age, f.err
}
func (f *fakeCluster) Unread() []cluster.Unread { return f.unread }

func (f *fakeCluster) trail(context.Context) (*audit.Trail, error) { return nil, f.trailErr }

// mesh is the state of n nodes with a full mesh.
func mesh(t *testing.T, n int) *state.Snapshot {
	t.Helper()
	var objects []calico.Object
	for i := range n {
		objects = append(objects, calicotest.Node(t, fmt.Sprintf("node-%d", i), calicotest.IPv4(fmt.Sprintf("10.0.0.%d/8", i+1))))
	}
	return state.New(objects...)
}

func named(name string, generation int64, parameters string) policy.Document {
	d := policy.Document{}
	d.Name, d.Generation = name, generation
	d.Spec.Policy, d.Spec.ValidationActions = name, []violation.Action{violation.Deny}
	if parameters != "" {
		d.Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(parameters)}
	}
	return d
}

var meshLimit = named("mesh-node-limit", 1, `{"maxNodes": 3}`)

// watch returns the current audit of a cluster of four nodes at a time that the test
// sets.
func watch(t *testing.T, documents ...policy.Document) (*current, *fakeCluster, *time.Time) {
	t.Helper()
	library, err := policy.NewLibrary()
	if err != nil {
		t.Fatal(err)
	}
	keeper := enforce.NewKeeper(library, logr.Discard())
	keeper.SetDocuments(documents)
	f := &fakeCluster{snapshot: mesh(t, 4)}
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return &current{
		state: &clusterState{f}, trail: f.trail, keeper: keeper, engine: validate.NewEngine(policy.NewSet(nil)), name: "prod", origin: "prod",
		objects: func(*http.Request) error { return nil }, library: func(*http.Request) error { return nil }, now: func() time.Time { return now },
	}, f, &now
}

func TestTheCurrentAudit(t *testing.T) {
	c, f, now := watch(t, meshLimit)
	a, err := c.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a.Cluster != "prod" || len(a.Policies) != 1 || len(a.Violations) != 1 || !a.Violations[0].FirstSeen.Equal(*now) || len(a.Failures) != 0 || len(a.Notes) != 0 {
		t.Errorf("got %+v", a)
	}

	*now = now.Add(reuse - 1)
	if again, err := c.Audit(t.Context()); err != nil || again != a {
		t.Errorf("the audit is not reused: %v", err)
	}
	f.snapshot = mesh(t, 5)
	b, err := c.Audit(t.Context())
	if err != nil || b == a || b.Summary.Nodes.BGP != 5 {
		t.Errorf("of another state: %+v, %v", b, err)
	}
	c.keeper.SetDocuments([]policy.Document{named("mesh-node-limit", 2, `{"maxNodes": 30}`)})
	d, err := c.Audit(t.Context())
	if err != nil || len(d.Violations) != 0 {
		t.Errorf("of another policy: %+v, %v", d, err)
	}
	*now = now.Add(reuse)
	if later, err := c.Audit(t.Context()); err != nil || later == d || !later.Time.Equal(*now) {
		t.Errorf("the audit is reused for too long: %v", err)
	}
}

func TestNothingIsAuditedBeforeItIsKnown(t *testing.T) {
	for name, change := range map[string]func(*current, *fakeCluster, error){
		"the state":    func(_ *current, f *fakeCluster, err error) { f.err = err },
		"the policies": func(c *current, _ *fakeCluster, err error) { c.objects = func(*http.Request) error { return err } },
		"the library":  func(c *current, _ *fakeCluster, err error) { c.library = func(*http.Request) error { return err } },
	} {
		t.Run(name, func(t *testing.T) {
			c, f, _ := watch(t, meshLimit)
			want := errors.New("still reading")
			change(c, f, want)
			if a, err := c.Audit(t.Context()); a != nil || !errors.Is(err, want) {
				t.Errorf("got %+v, %v", a, err)
			}
		})
	}
}

func TestAStaleStateIsMarked(t *testing.T) {
	c, f, _ := watch(t, meshLimit)
	for _, age := range []time.Duration{staleAfter, 200 * time.Second, time.Second} {
		f.age = age
		want := age
		if age <= staleAfter {
			want = 0
		}
		if a, err := c.Audit(t.Context()); err != nil || len(a.Violations) != 1 || a.Stale != want {
			t.Errorf("after %s: got %+v, %v", age, a, err)
		}
	}
}

func TestAnUnknownPastIsNoted(t *testing.T) {
	c, f, _ := watch(t, meshLimit)
	f.trailErr = errors.New("forbidden")
	a, err := c.Audit(t.Context())
	if err != nil || !slices.Equal(a.Notes, []string{"when and how violations appeared is not known: forbidden"}) {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAnUnreadObjectIsNoted(t *testing.T) {
	c, f, _ := watch(t, meshLimit)
	f.unread = []cluster.Unread{{Kind: calico.KindBGPPeer, Name: "p", Err: errors.New("spec: wrong")}}
	if a, err := c.Audit(t.Context()); err != nil || len(a.Notes) != 1 || a.Notes[0] != f.unread[0].String() {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestARejectedPolicyIsAFailure(t *testing.T) {
	c, _, _ := watch(t, meshLimit, named("nothing", 1, ""))
	c.keeper.SetDocuments([]policy.Document{named("mesh-node-limit", 2, `{"maxNode": 3}`), named("nothing", 1, "")})
	a, err := c.Audit(t.Context())
	if err != nil || len(a.Violations) != 1 || len(a.Failures) != 2 {
		t.Fatalf("got %+v, %v", a, err)
	}
	for i, want := range []string{
		"mesh-node-limit: generation 2 is rejected, generation 1 was evaluated instead: BGPPolicy mesh-node-limit: spec.parameters",
		`nothing: rejected and not evaluated: BGPPolicy nothing: spec.policy: "nothing" is not in the library`,
	} {
		if got := a.Failures[i].Policy + ": " + a.Failures[i].Message; !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestWithoutBGPPoliciesTheLibraryIsEvaluated(t *testing.T) {
	for name, c := range map[string]struct {
		objects error
		note    string
	}{
		"there is none":       {nil, "the cluster has no BGPPolicy: all policies of the library were evaluated with their defaults"},
		"they are not served": {fmt.Errorf("not ready: %w", enforce.ErrNotServed), enforce.ErrNotServed.Error() + ": all policies of the library were evaluated with their defaults"},
	} {
		t.Run(name, func(t *testing.T) {
			current, _, _ := watch(t)
			current.objects = func(*http.Request) error { return c.objects }
			a, err := current.Audit(t.Context())
			if err != nil || len(a.Policies) != len(current.keeper.Library().Definitions()) || !slices.Equal(a.Notes, []string{c.note}) {
				t.Fatalf("got %d policies, notes %q, %v", len(a.Policies), a.Notes, err)
			}
			if again, err := current.Audit(t.Context()); err != nil || again != a {
				t.Errorf("the audit is not reused: %v", err)
			}
		})
	}
	t.Run("in files of policies none is meant", func(t *testing.T) {
		current, _, _ := watch(t)
		current.objects, current.given = nil, true
		if a, err := current.Audit(t.Context()); err != nil || len(a.Policies) != 0 || len(a.Notes) != 0 {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}
