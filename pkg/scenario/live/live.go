// Package live runs scenarios against an API server whose changes bgpguard reviews.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/scenario"
)

const (
	// timeout is the time limit for the expected answer to a step.
	timeout = 10 * time.Second
	// pause is the time between two attempts.
	pause = 50 * time.Millisecond
	// settle is the pause after a change. Without it bgpguard could give the expected
	// answer to the next step on the basis of the state before the change.
	settle = 300 * time.Millisecond
)

// Run runs a scenario against an API server and deletes the objects that it created. The API
// server must have no Node, BGPPeer, BGPConfiguration or IPPool, and no object of a kind that
// the scenario names, so that a cluster in use is safe. If the scenario has policies, the API
// server must have no BGPPolicy; otherwise the existing BGPPolicies are in force. The user of
// a step is also in the group system:masters, so that RBAC does not reject the change. An
// error means that the scenario could not be run, or that an object could not be deleted.
func Run(ctx context.Context, s *scenario.Scenario, config *rest.Config) (result *scenario.Result, err error) {
	r := &run{scenario: s, config: rest.CopyConfig(config)}
	r.config.WarningHandlerWithContext = r
	r.config.QPS, r.config.Burst = -1, -1 // The objects of a scenario are few.
	if err := r.connect(); err != nil {
		return nil, err
	}
	if err := r.checkEmpty(ctx); err != nil {
		return nil, err
	}
	// Objects are deleted even if the context is done.
	defer func() { err = errors.Join(err, r.clean(context.WithoutCancel(ctx))) }()
	if err := r.createState(ctx); err != nil {
		return nil, fmt.Errorf("creating the state of scenario %s: %w", s.Metadata.Name, err)
	}
	result = s.NewResult()
	for i := range s.Steps {
		step, err := r.step(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("scenario %s, step %q: %w", s.Metadata.Name, s.Steps[i].Name, err)
		}
		result.Steps = append(result.Steps, step)
	}
	return result, nil
}

// run is one run of a scenario.
type run struct {
	scenario *scenario.Scenario
	config   *rest.Config
	client   dynamic.Interface
	mapper   meta.RESTMapper
	created  []created // in the order of their creation

	mu       sync.Mutex
	warnings []string
}

// created is an object that the run created.
type created struct {
	resource schema.GroupVersionResource
	name     string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (r *run) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	if code != 299 || text == "" { // An API server uses no other code.
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, text)
}

func (r *run) takeWarnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.warnings
	r.warnings = nil
	return out
}

func (r *run) connect() error {
	client, err := discovery.NewDiscoveryClientForConfig(r.config)
	if err != nil {
		return err
	}
	r.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	r.client, err = dynamic.NewForConfig(r.config)
	return err
}

// resource returns the resource of a kind, in the group in which the API server serves it.
func (r *run) resource(kind string) (schema.GroupVersionResource, schema.GroupVersionKind, error) {
	var err error
	for _, gv := range []schema.GroupVersion{
		{Version: "v1"}, {Group: calico.GroupV3, Version: "v3"}, {Group: calico.GroupV1, Version: "v1"}, v1alpha1.GroupVersion,
	} {
		mapping, e := r.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: kind}, gv.Version)
		if e == nil {
			return mapping.Resource, mapping.GroupVersionKind, nil
		}
		err = e
	}
	return schema.GroupVersionResource{}, schema.GroupVersionKind{}, fmt.Errorf("the API server does not serve %s: %w", kind, err)
}

// checkEmpty returns an error if the API server has objects that the scenario could change.
func (r *run) checkEmpty(ctx context.Context) error {
	kinds := []string{"Node", "BGPPeer", "BGPConfiguration", "IPPool"}
	for _, kind := range r.scenario.Kinds() {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(r.scenario.Policies) > 0 {
		kinds = append(kinds, v1alpha1.KindBGPPolicy)
	}
	for _, kind := range kinds {
		resource, _, err := r.resource(kind)
		if err != nil {
			return err
		}
		list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return fmt.Errorf("looking for existing objects: %w", err)
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("the API server has %s %s: a scenario creates and deletes objects, so it runs only if there are none, and not in a cluster that is in use",
				kind, list.Items[0].GetName())
		}
	}
	return nil
}

// createState creates the state. It creates Nodes after the objects that configure their
// sessions, and policies last, so that no intermediate state is denied.
func (r *run) createState(ctx context.Context) error {
	objects := slices.Clone(r.scenario.Objects())
	slices.SortStableFunc(objects, func(a, b calico.Object) int { return rank(a) - rank(b) })
	for _, o := range objects {
		if err := r.create(ctx, calico.Manifest(o)); err != nil {
			return err
		}
	}
	for _, d := range r.scenario.Documents() {
		text, err := json.Marshal(d.BGPPolicy)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return err
		}
		unstructured.RemoveNestedField(object.Object, "status")
		if err := r.create(ctx, object.Object); err != nil {
			return err
		}
	}
	r.takeWarnings()
	if err := r.awaitPolicies(ctx); err != nil {
		return err
	}
	return sleep(ctx, settle)
}

func rank(o calico.Object) int {
	if o.ID().Kind == calico.KindNode {
		return 1
	}
	return 0
}

func (r *run) create(ctx context.Context, manifest map[string]any) error {
	object, resource, err := r.object(manifest)
	if err != nil {
		return err
	}
	if _, err := r.client.Resource(resource).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	r.created = append(r.created, created{resource, object.GetName()})
	return nil
}

// object converts a manifest to the API version that the API server serves.
func (r *run) object(manifest map[string]any) (*unstructured.Unstructured, schema.GroupVersionResource, error) {
	object := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(manifest)}
	resource, kind, err := r.resource(object.GetKind())
	if err != nil {
		return nil, resource, err
	}
	object.SetGroupVersionKind(kind)
	return object, resource, nil
}

// awaitPolicies waits until all BGPPolicies of the scenario are enforced.
func (r *run) awaitPolicies(ctx context.Context) error {
	if len(r.scenario.Documents()) == 0 {
		return nil
	}
	resource, _, err := r.resource(v1alpha1.KindBGPPolicy)
	if err != nil {
		return err
	}
	return r.until(ctx, func() (bool, error) {
		list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if !enforced(&list.Items[i]) {
				return false, nil
			}
		}
		return true, nil
	}, "the BGPPolicies are not enforced; is bgpguard running?")
}

func enforced(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == v1alpha1.ConditionEnforced && m["status"] == string(metav1.ConditionTrue)
	})
}

func (r *run) until(ctx context.Context, done func() (bool, error), otherwise string) error {
	deadline := time.Now().Add(timeout)
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s %s", timeout, otherwise)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// step makes the change of step i. bgpguard sees the change of the previous step a little
// later than the API server does, so step first repeats the change as a dry run until the
// answer is as expected.
func (r *run) step(ctx context.Context, i int) (scenario.StepResult, error) {
	var result scenario.StepResult
	err := r.until(ctx, func() (bool, error) {
		outcome, err := r.send(ctx, i, true)
		if err != nil {
			return false, err
		}
		result = r.scenario.Judge(i, outcome)
		return len(result.Failures) == 0, nil
	}, "")
	if len(result.Failures) > 0 {
		return result, nil
	}
	if err != nil {
		return result, err
	}
	outcome, err := r.send(ctx, i, false)
	if err == nil && outcome.Allowed {
		err = sleep(ctx, settle)
	}
	return r.scenario.Judge(i, outcome), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// send sends the change of step i. A denial is not an error.
func (r *run) send(ctx context.Context, i int, dry bool) (scenario.Outcome, error) {
	step := &r.scenario.Steps[i]
	client := r.client
	if step.User != "" || len(step.Groups) > 0 {
		config := rest.CopyConfig(r.config)
		// The scenario tests policies, not RBAC. With a group, the API server does not add
		// those of a ServiceAccount or a node.
		groups := append(r.scenario.Groups(i), "system:masters")
		config.Impersonate = rest.ImpersonationConfig{UserName: step.User, Groups: groups}
		var err error
		if client, err = dynamic.NewForConfig(config); err != nil {
			return scenario.Outcome{}, err
		}
	}
	r.takeWarnings()
	object, err := r.change(ctx, client, step, dry)
	outcome := scenario.Outcome{Allowed: err == nil, Warnings: r.takeWarnings()}
	if err == nil {
		if object != nil && !dry {
			r.created = append(r.created, *object)
		}
		return outcome, nil
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if _, message, denied := strings.Cut(err.Error(), "denied the request: "); ok && denied && apierrors.IsForbidden(err) {
		outcome.Message = message
		outcome.Policies = policies(status.ErrStatus.Details)
		return outcome, nil
	}
	return outcome, err
}

// policies returns the names of the policies in the causes of a denial.
func policies(details *metav1.StatusDetails) []string {
	if details == nil {
		return nil
	}
	var out []string
	for _, c := range details.Causes {
		if name, _, _ := strings.Cut(string(c.Type), "/"); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// change makes the change of a step, and returns the object if it creates one.
func (r *run) change(ctx context.Context, client dynamic.Interface, step *scenario.Step, dry bool) (*created, error) {
	var options []string
	if dry {
		options = []string{metav1.DryRunAll}
	}
	if step.Apply != nil {
		object, resource, err := r.object(step.Apply)
		if err != nil {
			return nil, err
		}
		old, err := r.client.Resource(resource).Get(ctx, object.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = client.Resource(resource).Create(ctx, object, metav1.CreateOptions{DryRun: options})
			return &created{resource, object.GetName()}, err
		}
		if err != nil {
			return nil, err
		}
		object.SetResourceVersion(old.GetResourceVersion())
		_, err = client.Resource(resource).Update(ctx, object, metav1.UpdateOptions{DryRun: options})
		return nil, err
	}
	if step.Delete != nil {
		resource, _, err := r.resource(step.Delete.Kind)
		if err != nil {
			return nil, err
		}
		return nil, client.Resource(resource).Delete(ctx, step.Delete.Name, metav1.DeleteOptions{DryRun: options})
	}
	resource, _, err := r.resource(step.Patch.Kind)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(step.Patch.Merge)
	if err != nil {
		return nil, err
	}
	_, err = client.Resource(resource).Patch(ctx, step.Patch.Name, types.MergePatchType, text, metav1.PatchOptions{DryRun: options})
	return nil, err
}

// clean deletes the created objects, the last one first. bgpguard can deny a deletion while
// there are nodes that it affects, so clean repeats until no object is left.
func (r *run) clean(ctx context.Context) error {
	var last error
	err := r.until(ctx, func() (bool, error) {
		var left []created
		for _, m := range slices.Backward(r.created) {
			err := r.client.Resource(m.resource).Delete(ctx, m.name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				left = append(left, m)
				last = err
			}
		}
		slices.Reverse(left)
		r.created = left
		return len(left) == 0, nil
	}, "the objects of the scenario could not be deleted")
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}
