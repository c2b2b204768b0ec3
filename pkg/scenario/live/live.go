// Package live runs scenarios against an API server whose changes bgpguard reviews.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
	"k8s.io/client-go/util/workqueue"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const (
	// timeout is the time limit for the expected answer to a step.
	timeout = 5 * time.Second
	// deleteTimeout is the time limit for deleting the objects of a scenario after its last step.
	// Each of them is reviewed, and some can only be deleted after all Nodes.
	deleteTimeout = 30 * time.Second
	// pause is the time between two attempts.
	pause = 20 * time.Millisecond
	// settle is the pause after changes that bgpguard did not review, if Options.Shown does
	// not tell when bgpguard knows them. Without it bgpguard could give the expected answer to
	// the next step on the basis of the state before the change.
	settle = 100 * time.Millisecond
	// workers is the number of concurrent requests that create and delete the state.
	workers = 8
)

// Options are the options of a Runner.
type Options struct {
	// SetupGroup is a group of users whose changes bgpguard does not review. The Runner
	// creates the state and deletes all objects as a member of the group, so that any state
	// can be tested, also one that the policies would not allow. If it is "", bgpguard
	// reviews these changes. The Runner then writes Nodes as calico-node, which is never
	// denied.
	SetupGroup string
	// Shown returns what bgpguard knows of each kind of objects, from its metrics. If it is
	// nil, the Runner instead pauses for a fixed time after changes that bgpguard does not
	// review.
	Shown func(context.Context) (map[string]Shown, error)
}

// Shown is what bgpguard knows of a kind of objects.
type Shown struct {
	// Version is the newest resourceVersion (bgpguard_snapshot_version), Objects the number of
	// objects (bgpguard_snapshot_objects and bgpguard_undecodable_objects).
	Version uint64
	Objects int
}

// Runner runs scenarios against an API server whose changes bgpguard reviews, one at a time.
type Runner struct {
	config *rest.Config
	mapper meta.RESTMapper
	shown  func(context.Context) (map[string]Shown, error)
	// client makes the changes of steps without a user. setup creates and deletes the state,
	// and nodes the Nodes of it.
	client, setup, nodes dynamic.Interface

	mu       sync.Mutex
	warnings []string
}

// masters is the group of cluster administrators, to which RBAC does not apply.
const masters = "system:masters"

// NewRunner returns a Runner for an API server.
func NewRunner(config *rest.Config, options Options) (*Runner, error) {
	r := &Runner{config: rest.CopyConfig(config), shown: options.Shown}
	r.config.WarningHandlerWithContext = r
	r.config.QPS, r.config.Burst = -1, -1 // The objects of a scenario are few.
	client, err := discovery.NewDiscoveryClientForConfig(r.config)
	if err != nil {
		return nil, err
	}
	r.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	if r.client, err = dynamic.NewForConfig(r.config); err != nil {
		return nil, err
	}
	if options.SetupGroup != "" {
		r.setup, err = r.as("bgpguard:scenario-setup", options.SetupGroup, masters)
		r.nodes = r.setup
		return r, err
	}
	r.setup = r.client
	r.nodes, err = r.as("system:serviceaccount:calico-system:calico-node", masters)
	return r, err
}

// owner returns the client that creates and deletes objects of the state.
func (r *Runner) owner(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	if resource.Resource == calico.KindNode.Info().Resource {
		return r.nodes.Resource(resource)
	}
	return r.setup.Resource(resource)
}

// as returns a client that impersonates a user.
func (r *Runner) as(user string, groups ...string) (dynamic.Interface, error) {
	config := rest.CopyConfig(r.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return dynamic.NewForConfig(config)
}

// Run runs a scenario and deletes the objects that it created. The API server must have no
// Node, BGPPeer, BGPConfiguration or IPPool, and no object of a kind that the scenario names,
// so that a cluster in use is safe. If the scenario has policies, the API server must have no
// BGPPolicy; otherwise the existing BGPPolicies are in force. The user of a step is also in
// the group system:masters, so that RBAC does not reject the change. An error means that the
// scenario could not be run, or that an object could not be deleted.
func (r *Runner) Run(ctx context.Context, s *scenario.Scenario) (result *scenario.Result, err error) {
	run := &run{Runner: r, scenario: s}
	if err := run.checkEmpty(ctx); err != nil {
		return nil, err
	}
	// Objects are deleted even if the context is done.
	defer func() { err = errors.Join(err, run.clean(context.WithoutCancel(ctx))) }()
	if err := run.createState(ctx); err != nil {
		return nil, fmt.Errorf("creating the state of scenario %s: %w", s.Metadata.Name, err)
	}
	result = s.NewResult()
	for i := range s.Steps {
		step, err := run.step(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("scenario %s, step %q: %w", s.Metadata.Name, s.Steps[i].Name, err)
		}
		result.Steps = append(result.Steps, step)
	}
	return result, nil
}

// run is one run of a scenario.
type run struct {
	*Runner

	scenario *scenario.Scenario
	// created are the objects that were created, in any order.
	created []created
}

// created is an object that the run created.
type created struct {
	resource schema.GroupVersionResource
	name     string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (r *Runner) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	if code != 299 || text == "" { // An API server uses no other code.
		return
	}
	if strings.HasPrefix(text, validate.EffectPrefix) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, text)
}

func (r *Runner) takeWarnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.warnings
	r.warnings = nil
	return out
}

// operatorGroup is the API group of tigera-operator.
var operatorGroup, _ = schema.ParseGroupVersion(calico.APIVersionOperator)

// resource returns the resource of a kind, in the group in which the API server serves it.
func (r *Runner) resource(kind string) (schema.GroupVersionResource, schema.GroupVersionKind, error) {
	var err error
	for _, gv := range []schema.GroupVersion{
		{Version: "v1"}, {Group: calico.GroupV3, Version: "v3"}, {Group: calico.GroupV1, Version: "v1"}, operatorGroup, v1alpha1.GroupVersion,
	} {
		mapping, e := r.mapper.RESTMapping(schema.GroupKind{Group: gv.Group, Kind: kind}, gv.Version)
		if e == nil {
			return mapping.Resource, mapping.GroupVersionKind, nil
		}
		err = e
	}
	return schema.GroupVersionResource{}, schema.GroupVersionKind{}, fmt.Errorf("the API server does not serve %s: %w", kind, err)
}

// baseKinds are the kinds of objects that every scenario depends on.
var baseKinds = []string{"Node", "BGPPeer", "BGPConfiguration", "IPPool"}

// checkEmpty returns an error if the API server has objects that the scenario could change.
func (r *run) checkEmpty(ctx context.Context) error {
	kinds := slices.Clone(baseKinds)
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
		list, err := r.setup.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
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
	var first, nodes, policies []map[string]any
	for _, o := range r.scenario.Objects() {
		if o.ID().Kind == calico.KindNode {
			nodes = append(nodes, calico.Manifest(o))
		} else {
			first = append(first, calico.Manifest(o))
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
		policies = append(policies, object.Object)
	}
	for _, manifests := range [][]map[string]any{first, nodes, policies} {
		if err := r.createAll(ctx, manifests); err != nil {
			return err
		}
		if err := r.terminate(ctx, manifests); err != nil {
			return err
		}
	}
	r.takeWarnings()
	if err := r.awaitPolicies(ctx); err != nil {
		return err
	}
	return r.settled(ctx, append(r.scenario.Kinds(), baseKinds...)...)
}

// settled waits until bgpguard knows all objects of some kinds. The watch of a kind shows
// events in order of their versions. So if it has reached the newest version of an object, and
// the number of objects is the same, nothing is missing.
func (r *run) settled(ctx context.Context, kinds ...string) error {
	if r.shown == nil {
		return sleep(ctx, settle)
	}
	missing := ""
	err := until(ctx, func() (bool, error) {
		shown, err := r.shown(ctx)
		if err != nil {
			return false, err
		}
		for _, kind := range kinds {
			known, followed := shown[kind]
			if !followed {
				continue
			}
			there, err := r.atServer(ctx, kind)
			if err != nil {
				return false, err
			}
			if known.Version < there.Version || known.Objects != there.Objects {
				missing = fmt.Sprintf("%s: bgpguard knows %d objects and version %d, the API server has %d objects and version %d",
					kind, known.Objects, known.Version, there.Objects, there.Version)
				return false, nil
			}
		}
		return true, nil
	}, "bgpguard does not know all objects")
	if err != nil && missing != "" {
		return fmt.Errorf("%w; %s", err, missing)
	}
	return err
}

// atServer returns the objects of a kind at the API server.
func (r *run) atServer(ctx context.Context, kind string) (Shown, error) {
	resource, _, err := r.resource(kind)
	if err != nil {
		return Shown{}, err
	}
	list, err := r.setup.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return Shown{}, err
	}
	out := Shown{Objects: len(list.Items)}
	for i := range list.Items {
		version, err := strconv.ParseUint(list.Items[i].GetResourceVersion(), 10, 64)
		if err != nil {
			return Shown{}, err
		}
		out.Version = max(out.Version, version)
	}
	return out, nil
}

// createAll creates objects concurrently.
func (r *run) createAll(ctx context.Context, manifests []map[string]any) error {
	var mu sync.Mutex
	return parallel(len(manifests), func(i int) error {
		object, resource, err := r.object(manifests[i])
		if err != nil {
			return err
		}
		// bgpguard may not know yet that the objects of the last scenario are deleted.
		var denied error
		err = until(ctx, func() (bool, error) {
			denied = nil
			err := create(ctx, r.owner(resource), object, nil)
			if apierrors.IsForbidden(err) || apierrors.IsTooManyRequests(err) {
				denied = err
				return false, nil
			}
			return true, err
		}, "an object of the state is denied")
		if err != nil {
			return errors.Join(err, denied)
		}
		mu.Lock()
		defer mu.Unlock()
		r.created = append(r.created, created{resource, object.GetName()})
		return nil
	})
}

// terminate deletes the objects that are terminating in the state. Their finalizers keep them.
func (r *run) terminate(ctx context.Context, manifests []map[string]any) error {
	for _, manifest := range manifests {
		object, resource, err := r.object(manifest)
		if err != nil {
			return err
		}
		if object.GetDeletionTimestamp() == nil {
			continue
		}
		if err := r.owner(resource).Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// create creates an object, and then its status if that is a subresource.
func create(ctx context.Context, client dynamic.ResourceInterface, object *unstructured.Unstructured, dryRun []string) error {
	out, err := client.Create(ctx, object, metav1.CreateOptions{DryRun: dryRun})
	if err != nil || dryRun != nil || object.Object["status"] == nil || out.Object["status"] != nil {
		return err
	}
	out.Object["status"] = object.Object["status"]
	_, err = client.UpdateStatus(ctx, out, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) { // The kind has no status.
		return nil
	}
	return err
}

// parallel calls do with the numbers from 0 to n-1, concurrently, and joins the errors.
func parallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	workqueue.ParallelizeUntil(context.Background(), workers, n, func(i int) { errs[i] = do(i) })
	return errors.Join(errs...)
}

// object converts a manifest to the API version that the API server serves.
func (r *Runner) object(manifest map[string]any) (*unstructured.Unstructured, schema.GroupVersionResource, error) {
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
	return until(ctx, func() (bool, error) {
		list, err := r.setup.Resource(resource).List(ctx, metav1.ListOptions{})
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

// enforced reports whether the replicas enforce a BGPPolicy. The API server may be configured to
// ask bgpguard about the changes of some users only.
func enforced(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == v1alpha1.ConditionEnforced && (m["status"] == string(metav1.ConditionTrue) || m["reason"] == v1alpha1.ReasonNotAsked)
	})
}

func until(ctx context.Context, done func() (bool, error), otherwise string) error {
	return untilWithin(ctx, timeout, done, otherwise)
}

func untilWithin(ctx context.Context, limit time.Duration, done func() (bool, error), otherwise string) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s %s", limit, otherwise)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// step makes the changes of step i.
func (r *run) step(ctx context.Context, i int) (scenario.StepResult, error) {
	step := &r.scenario.Steps[i]
	client := r.client
	if step.User != "" || len(step.Groups) > 0 {
		var err error
		// The scenario tests policies, not RBAC. With a group, the API server does not add
		// those of a ServiceAccount or a node.
		if client, err = r.as(step.User, append(r.scenario.Groups(i), masters)...); err != nil {
			return scenario.StepResult{}, err
		}
	}
	var all scenario.Outcome
	all, err := r.answers(ctx, i, client)
	switch {
	case err != nil || !all.Allowed && step.Expect != nil:
	case !all.Allowed:
		err = fmt.Errorf("it has no expected answer, and bgpguard denies it: %s", all.Message)
	case step.Expect == nil:
		err = r.settled(ctx, r.changed(i)...)
	default:
		err = sleep(ctx, pause)
	}
	return r.scenario.Judge(i, all), err
}

// changed returns the kinds of objects that step i changes.
func (r *run) changed(i int) []string {
	step := &r.scenario.Steps[i]
	switch {
	case step.Delete != nil:
		return []string{step.Delete.Kind}
	case step.Patch != nil:
		return []string{step.Patch.Kind}
	}
	var out []string
	for _, document := range r.scenario.Applied(i) {
		if kind, _ := document["kind"].(string); !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	return out
}

// answers makes the changes of step i and returns the answer to all of them.
func (r *run) answers(ctx context.Context, i int, client dynamic.Interface) (scenario.Outcome, error) {
	step := &r.scenario.Steps[i]
	documents := r.scenario.Applied(i)
	if len(documents) < 2 {
		return r.answer(ctx, step.Expect != nil, func(dryRun []string) error {
			return r.change(ctx, client, i, dryRun)
		}, func(o scenario.Outcome) bool { return len(r.scenario.Judge(i, o).Failures) == 0 })
	}
	// One of these changes alone need not have the expected answer to all of them.
	all := scenario.Outcome{Allowed: true}
	for _, document := range documents {
		o, err := r.answer(ctx, step.Expect != nil, func(dryRun []string) error {
			return r.apply(ctx, client, document, dryRun)
		}, func(o scenario.Outcome) bool { return o.Allowed || !*step.Expect.Allowed })
		if err != nil {
			return all, err
		}
		all.Add(o)
	}
	return all, nil
}

// answer makes a change and returns the answer. bgpguard sees the changes before it a little
// later than the API server does, so answer first repeats a reviewed change as a dry run until
// the answer is as expected.
func (r *run) answer(ctx context.Context, reviewed bool, change func(dryRun []string) error, expected func(scenario.Outcome) bool) (scenario.Outcome, error) {
	for deadline := time.Now().Add(timeout); reviewed; {
		o, err := r.send(ctx, func() error { return change([]string{metav1.DryRunAll}) })
		if err == nil && expected(o) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			return o, err
		}
		if err := sleep(ctx, pause); err != nil {
			return o, err
		}
	}
	return r.send(ctx, func() error { return change(nil) })
}

// send makes a change and returns the answer. A denial is not an error. bgpguard may want to
// see other changes first; send then repeats the change.
func (r *run) send(ctx context.Context, change func() error) (scenario.Outcome, error) {
	var outcome scenario.Outcome
	err := until(ctx, func() (bool, error) {
		r.takeWarnings()
		err := change()
		outcome = scenario.Outcome{Allowed: err == nil, Warnings: r.takeWarnings()}
		if apierrors.IsTooManyRequests(err) {
			return false, nil
		}
		return true, err
	}, "bgpguard still waits for other changes")
	if err == nil {
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

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
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

// change makes the change of step i.
func (r *run) change(ctx context.Context, client dynamic.Interface, i int, dryRun []string) error {
	step := &r.scenario.Steps[i]
	switch {
	case step.Apply != nil:
		return r.apply(ctx, client, r.scenario.Applied(i)[0], dryRun)
	case step.Delete != nil:
		resource, _, err := r.resource(step.Delete.Kind)
		if err != nil {
			return err
		}
		options := metav1.DeleteOptions{DryRun: dryRun}
		if step.Delete.Cascade == scenario.CascadeForeground {
			policy := metav1.DeletePropagationForeground
			options.PropagationPolicy = &policy
		}
		return client.Resource(resource).Delete(ctx, step.Delete.Name, options)
	default:
		resource, kind, err := r.resource(step.Patch.Kind)
		if err != nil {
			return err
		}
		text, err := json.Marshal(step.Patch.Merge)
		if err != nil {
			return err
		}
		_, err = client.Resource(resource).Patch(ctx, step.Patch.Name, types.MergePatchType, text, metav1.PatchOptions{DryRun: dryRun}, subresources(kind, step.Patch.Merge)...)
		return err
	}
}

// apply writes the object that "kubectl apply" makes of a document and of the present object.
func (r *run) apply(ctx context.Context, client dynamic.Interface, document map[string]any, dryRun []string) error {
	decoded, err := calico.Decode(document)
	if err != nil {
		return err
	}
	id := decoded.ID()
	resource, kind, err := r.resource(string(id.Kind))
	if err != nil {
		return err
	}
	var before calico.Object
	old, err := r.setup.Resource(resource).Get(ctx, id.Name, metav1.GetOptions{})
	switch {
	case err == nil:
		if before, err = calico.Decode(old.Object); err != nil {
			return err
		}
	case !apierrors.IsNotFound(err):
		return err
	}
	if id.Kind != calico.KindNode { // Those of calicoctl have another form.
		document = maps.Clone(document)
		document["apiVersion"] = kind.GroupVersion().String()
	}
	after, err := scenario.Stored(before, document)
	if err != nil {
		return err
	}
	stored := calico.Manifest(after)
	if stored == nil { // Only documents have the values of Secrets.
		stored = document
	}
	object, _, err := r.object(stored)
	if err != nil {
		return err
	}
	if before == nil {
		if err := create(ctx, client.Resource(resource), object, dryRun); err != nil {
			return err
		}
		if dryRun == nil {
			r.created = append(r.created, created{resource, object.GetName()})
		}
		return nil
	}
	object.SetResourceVersion(old.GetResourceVersion())
	_, err = client.Resource(resource).Update(ctx, object, metav1.UpdateOptions{DryRun: dryRun}, subresources(kind, document)...)
	return err
}

// subresources returns the subresource to which a change is written. The status of a Node can
// only be written with its labels and annotations, and without its spec.
func subresources(kind schema.GroupVersionKind, document map[string]any) []string {
	if kind.Kind == string(calico.KindNode) && document["status"] != nil {
		return []string{"status"}
	}
	return nil
}

// clean deletes the created objects and the finalizers that they have. bgpguard can deny a
// deletion while there are nodes that it affects, so clean repeats until no object is left.
func (r *run) clean(ctx context.Context) error {
	defer r.takeWarnings()
	var last error
	err := untilWithin(ctx, deleteTimeout, func() (bool, error) {
		gone := make([]bool, len(r.created))
		last = parallel(len(r.created), func(i int) error {
			client := r.owner(r.created[i].resource)
			err := client.Delete(ctx, r.created[i].name, metav1.DeleteOptions{})
			if apierrors.IsNotFound(err) {
				gone[i] = true
				return nil
			}
			if err != nil {
				return err
			}
			left, err := client.Get(ctx, r.created[i].name, metav1.GetOptions{})
			if err == nil && len(left.GetFinalizers()) > 0 {
				_, err = client.Patch(ctx, r.created[i].name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
			if gone[i] = apierrors.IsNotFound(err); gone[i] {
				return nil
			}
			return err
		})
		var left []created
		for i, c := range r.created {
			if !gone[i] {
				left = append(left, c)
			}
		}
		r.created = left
		return len(left) == 0, nil
	}, "the objects of the scenario could not be deleted")
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
