package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// exceptionServer is a fake API server with BGPExceptions.
type exceptionServer struct {
	client.Reader
	client.Writer
	objects map[string]*v1alpha1.BGPException
	fail    error
	writes  int
}

var exceptionResource = schema.GroupResource{Group: v1alpha1.Group, Resource: "bgpexceptions"}

func (s *exceptionServer) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	o := s.objects[key.Name]
	if o == nil {
		return apierrors.NewNotFound(exceptionResource, key.Name)
	}
	o.DeepCopyInto(out.(*v1alpha1.BGPException))
	return nil
}

func (s *exceptionServer) List(_ context.Context, out client.ObjectList, _ ...client.ListOption) error {
	for _, o := range s.objects {
		list := out.(*v1alpha1.BGPExceptionList)
		list.Items = append(list.Items, *o.DeepCopy())
	}
	return nil
}

func (s *exceptionServer) Delete(_ context.Context, o client.Object, _ ...client.DeleteOption) error {
	delete(s.objects, o.GetName())
	return nil
}

// exceptionStatus is the subresource status of a server.
type exceptionStatus struct {
	client.SubResourceWriter
	server *exceptionServer
}

func (e exceptionStatus) Patch(_ context.Context, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	s := e.server
	if s.fail != nil {
		return s.fail
	}
	text, err := patch.Data(o)
	if err != nil {
		return err
	}
	is := s.objects[o.GetName()]
	var sent v1alpha1.BGPException
	if err := json.Unmarshal(text, &sent); err != nil || patch.Type() != types.MergePatchType {
		return errors.New("not a merge patch")
	}
	if sent.UID != is.UID || sent.ResourceVersion != is.ResourceVersion {
		return apierrors.NewConflict(exceptionResource, o.GetName(), errors.New("it was changed"))
	}
	s.writes++
	n, _ := strconv.Atoi(is.ResourceVersion)
	is.ResourceVersion = strconv.Itoa(n + 1)
	merged := struct {
		Status *v1alpha1.BGPExceptionStatus `json:"status"`
	}{&is.Status}
	return json.Unmarshal(text, &merged)
}

// exceptionBench is an Exceptions with a server and a clock.
type exceptionBench struct {
	*Exceptions
	server  *exceptionServer
	clock   *clock
	applied []*policy.Exception
}

func newExceptionBench(objects ...*v1alpha1.BGPException) *exceptionBench {
	b := &exceptionBench{server: &exceptionServer{objects: map[string]*v1alpha1.BGPException{}}, clock: &clock{time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)}}
	for _, o := range objects {
		b.server.objects[o.Name] = o
	}
	b.Exceptions = &Exceptions{
		reader: b.server, writer: b.server, status: exceptionStatus{server: b.server}, log: logr.Discard(), now: b.clock.now,
		apply:   func(list []*policy.Exception) { b.applied = list },
		changed: loop.NewSignal(), used: loop.NewSignal(), rest: loop.NewSignal(),
		active: map[string]bool{}, uses: map[types.UID]use{},
	}
	return b
}

// excepting returns a BGPException that ends an hour after noon.
func excepting(name string) *v1alpha1.BGPException {
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	return &v1alpha1.BGPException{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), ResourceVersion: "1", Generation: 1, CreationTimestamp: metav1.NewTime(noon)},
		Spec:       v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Reason: "INC-1", Expires: metav1.NewTime(noon.Add(time.Hour))},
	}
}

// round applies the exceptions and does the leader's work.
func (b *exceptionBench) round(t *testing.T) (applied string, next time.Duration) {
	t.Helper()
	next, err := b.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.lead(t.Context())
	var names []string
	for _, x := range b.applied {
		names = append(names, x.Name)
	}
	return strings.Join(names, " "), next
}

func TestTheLifeOfAnException(t *testing.T) {
	invalid, leaving := excepting("invalid"), excepting("leaving")
	invalid.Spec.Reason = ""
	leaving.DeletionTimestamp = &metav1.Time{}
	b := newExceptionBench(excepting("b"), excepting("a"), invalid, leaving)
	active := func(name string) string {
		c := meta.FindStatusCondition(b.server.objects[name].Status.Conditions, v1alpha1.ConditionActive)
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}
	if applied, next := b.round(t); applied != "a b" || next != exceptionRecheck {
		t.Errorf("applied %s, again in %s", applied, next)
	}
	if got, want := active("a"), "True Active: allows changes until 2026-03-14T13:00:00Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := active("invalid"), "False Invalid: BGPException invalid: spec.reason: is missing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := testutil.ToFloat64(exceptionExpiry.WithLabelValues("a")); got != float64(b.clock.at.Add(time.Hour).Unix()) {
		t.Errorf("the gauge is %v", got)
	}
	writes := b.server.writes
	b.clock.at = b.clock.at.Add(time.Hour - time.Second)
	if applied, next := b.round(t); applied != "a b" || next != time.Second || b.server.writes != writes {
		t.Errorf("applied %s, again in %s, %d writes", applied, next, b.server.writes-writes)
	}
	b.clock.at = b.clock.at.Add(time.Second)
	if applied, _ := b.round(t); applied != "" {
		t.Errorf("applied %s", applied)
	}
	if got, want := active("a"), "False Expired: expired at 2026-03-14T13:00:00Z; bgpguard deletes it after 2026-04-13T13:00:00Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := testutil.CollectAndCount(exceptionExpiry); n != 0 {
		t.Errorf("%d gauges are left", n)
	}
	b.clock.at = b.clock.at.Add(keepExpired)
	b.round(t)
	if len(b.server.objects) != 4 {
		t.Errorf("%d are left after 30 days", len(b.server.objects))
	}
	b.clock.at = b.clock.at.Add(time.Second)
	b.round(t)
	if b.server.objects["a"] != nil || b.server.objects["invalid"] == nil {
		t.Errorf("left are %v", b.server.objects)
	}
}

func TestUsesAreCountedOnce(t *testing.T) {
	b := newExceptionBench(excepting("a"))
	b.round(t)
	x := b.applied[0]
	other := newExceptionBench() // Another replica.
	other.reader, other.status, other.now = b.server, b.status, b.clock.now
	b.Use(x, "jane")
	b.clock.at = b.clock.at.Add(2 * time.Second)
	b.Use(x, "joe")
	other.Use(x, "eve")
	b.server.fail = apierrors.NewConflict(exceptionResource, "a", errors.New("it was changed"))
	b.writeUses(t.Context())
	b.server.fail = nil
	before := b.server.writes
	b.writeUses(t.Context())
	other.writeUses(t.Context())
	b.writeUses(t.Context())
	if got, err := json.Marshal(b.server.objects["a"].Status); err != nil || !strings.HasPrefix(string(got), `{"observedGeneration":1,"uses":3,"lastUseTime":"2026-03-14T12:00:02Z","lastUser":"eve","conditions":[`) {
		t.Errorf("got %s", got)
	}
	if n := b.server.writes - before; n != 2 {
		t.Errorf("%d writes, want one for each replica", n)
	}
	// A new BGPException of the same name has not been used.
	b.Use(x, "jane")
	again := excepting("a")
	again.UID = "uid-new"
	b.server.objects["a"] = again
	b.writeUses(t.Context())
	if again.Status.Uses != 0 || len(b.uses) != 0 {
		t.Errorf("%d uses, %d are left to write", again.Status.Uses, len(b.uses))
	}
}
