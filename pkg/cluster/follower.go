package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Intervals of a Follower.
const (
	// retryInterval is the time between attempts to find Calico's CRDs.
	retryInterval = time.Second
	// groupInterval is the time between checks of the API group that serves the CRDs, and
	// confirmInterval the time until a check that found other kinds is repeated.
	groupInterval   = time.Minute
	confirmInterval = 10 * time.Second
	// chooseInterval is the time between checks of the API group that Calico reads.
	chooseInterval = 5 * time.Second
	// gaugeInterval is the time between updates of the gauges.
	gaugeInterval = time.Second
)

// Follower feeds a Store from the informers of a manager's cache, which must have the
// CacheOptions of the same store. It is a manager.Runnable.
type Follower struct {
	store     *Store
	log       logr.Logger
	informers cache.Informers
	cached    client.Reader
	direct    client.Reader // reads no cache
	discovery discoverer
	secrets   toolscache.ListerWatcher // nil if the follower does not read Secrets
	blocks    bool                     // whether the follower reads IPAMBlocks
	idle      func(context.Context)
	onChange  func(context.Context, *state.Snapshot)
	// found is the group that Calico reads and its kinds, nil until they are known.
	found atomic.Pointer[served]
	// groups are all groups that serve Calico's objects, and operator the kinds that tigera-operator's
	// group serves. failure is the last error of choose.
	groups   []served
	operator []calico.Kind
	failure  loop.Failure
	// doubt is the difference that the last check of the groups found, "" for none.
	doubt string
}

// FollowOptions are the kinds that a Follower reads only if they are requested.
type FollowOptions struct {
	// SecretNamespace is the namespace whose Secrets are read, without their values. If it
	// is "", no Secrets are read.
	SecretNamespace string
	// IPAMBlocks is true if IPAMBlocks are read.
	IPAMBlocks bool
}

// NewFollower returns a follower; the caller adds it to the manager.
func NewFollower(mgr manager.Manager, store *Store, options FollowOptions) (*Follower, error) {
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("creating a discovery client: %w", err)
	}
	f := &Follower{store: store, log: store.log, informers: mgr.GetCache(), cached: mgr.GetCache(), direct: mgr.GetAPIReader(), discovery: discoverer, blocks: options.IPAMBlocks}
	f.OnChange(func(context.Context) {}, func(context.Context, *state.Snapshot) {})
	if namespace := options.SecretNamespace; namespace != "" {
		core, err := corev1client.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
		if err != nil {
			return nil, fmt.Errorf("creating a client for Secrets: %w", err)
		}
		f.secrets = toolscache.NewListWatchFromClient(core.RESTClient(), "secrets", namespace, fields.Everything())
	}
	return f, nil
}

// OnChange sets the function that is called with the newest snapshot after a change, one call
// at a time. idle is called before each call, and returns when there is time for it. One call
// stands for all changes that happened during the last call and during idle. Call OnChange
// before Start.
func (f *Follower) OnChange(idle func(context.Context), changed func(context.Context, *state.Snapshot)) {
	f.idle, f.onChange = idle, changed
}

// NeedLeaderElection returns false: every replica follows the cluster.
func (f *Follower) NeedLeaderElection() bool { return false }

// Start follows the cluster until ctx is done. If Calico moves its objects to another API group,
// Start follows them there. It returns an error when the API server serves other kinds: a new
// process must then follow them.
func (f *Follower) Start(ctx context.Context) error {
	if err := f.await(ctx); err != nil {
		return nil // The context is done.
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	// Cancelled before the deferred Wait, also when Start returns an error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	live, known, err := choose(f.groups, f.information(ctx))
	if err != nil { // The first group has precedence until the answer is known.
		f.log.Error(err, "Cannot check which API group Calico reads", "group", f.groups[live].group.String())
	}
	f.found.Store(&f.groups[live])
	f.store.setGroup(f.groups[live].group)
	kinds := slices.Concat([]calico.Kind{calico.KindNode}, f.kinds(f.groups[live]), f.operator)
	if f.secrets != nil {
		kinds = append(kinds, calico.KindSecret)
	}
	if err := f.follow(ctx, &wg, f.store.contents, kinds); err != nil {
		return err
	}
	if err == nil && !known {
		if err := f.followOther(ctx, &wg, f.groups[1-live]); err != nil {
			return err
		}
	}
	wg.Go(func() { f.store.announceTo(ctx, f.idle, f.onChange) })
	return f.watchGroups(ctx, &wg)
}

// kinds returns the kinds of a group that the follower reads.
func (f *Follower) kinds(from served) []calico.Kind {
	return slices.DeleteFunc(slices.Clone(from.kinds), func(kind calico.Kind) bool {
		return kind.Info().OptIn && (kind != calico.KindIPAMBlock || !f.blocks)
	})
}

// follow feeds contents from the informers of kinds.
func (f *Follower) follow(ctx context.Context, wg *sync.WaitGroup, to *contents, kinds []calico.Kind) error {
	f.log.Info("Reading Calico's objects", "group", to.group.String(), "kinds", kinds)
	for _, feed := range f.store.followIn(to, kinds) {
		informer, err := f.informer(ctx, wg, feed, to.group)
		var registration toolscache.ResourceEventHandlerRegistration
		if err == nil {
			registration, err = informer.AddEventHandler(f.store.handlerOf(to, feed.kind))
		}
		if err != nil {
			return fmt.Errorf("following %s: %w", feed.kind, err)
		}
		wg.Go(func() { f.signalSynced(ctx, feed, registration) })
	}
	return nil
}

// followOther follows another group, too, because it is not known which one Calico reads.
func (f *Follower) followOther(ctx context.Context, wg *sync.WaitGroup, group served) error {
	return f.follow(ctx, wg, f.store.followOther(group.group), f.kinds(group))
}

// await waits until Calico's objects are served, so that bgpguard can be installed before
// Calico. It returns the error of ctx if ctx is done first.
func (f *Follower) await(ctx context.Context) error {
	var failure loop.Failure
	return wait.PollUntilContextCancel(ctx, retryInterval, true, func(context.Context) (bool, error) {
		var err error
		if f.groups, err = discover(f.discovery); err == nil {
			f.operator, err = discoverOperator(f.discovery)
		}
		f.store.notFound(err)
		if err != nil && failure.Changed(err) {
			f.log.Error(err, "Cannot read Calico's objects yet, retrying until they are served")
		}
		return err == nil, nil
	})
}

// watchGroups follows the group that Calico reads. It returns an error when other kinds are
// served.
func (f *Follower) watchGroups(ctx context.Context, wg *sync.WaitGroup) error {
	gauges, choice, group := time.NewTicker(gaugeInterval), time.NewTicker(chooseInterval), time.NewTimer(groupInterval)
	defer gauges.Stop()
	defer choice.Stop()
	defer group.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-gauges.C:
			f.store.setGauges()
			for _, feed := range f.store.liveFeeds() {
				f.store.confirm(feed)
			}
		case <-choice.C:
			if err := f.checkChoice(ctx, wg); err != nil {
				return err
			}
		case <-group.C:
			next, err := f.checkGroups()
			if err != nil {
				return err
			}
			group.Reset(next)
		}
	}
}

// checkGroups reads again which groups serve Calico's and tigera-operator's objects, and returns the
// time until the next check. It returns an error if the group that Calico reads or that of
// tigera-operator serves other kinds, or none, as the check before found as well: an API server that
// has just started does not serve all CRDs yet. A failed request is not such an error: the age of the
// snapshot shows that the API server does not answer.
func (f *Follower) checkGroups() (next time.Duration, err error) {
	now, err := discover(f.discovery)
	var operator []calico.Kind
	if err == nil {
		operator, err = discoverOperator(f.discovery)
	}
	if err != nil {
		f.log.Error(err, "Cannot check whether Calico's objects are still served", "group", f.found.Load().group.String())
		return groupInterval, nil
	}
	changed := f.changed(now, operator)
	switch {
	case changed == nil:
		f.groups, f.doubt = now, ""
		return groupInterval, nil
	case changed.Error() == f.doubt:
		return 0, changed
	}
	f.log.Info("The API server serves other kinds than before, checking again", "difference", changed.Error(), "after", confirmInterval.String())
	f.doubt = changed.Error()
	return confirmInterval, nil
}

// changed returns an error if what is served is not what the Follower follows.
func (f *Follower) changed(now []served, operator []calico.Kind) error {
	if found := f.found.Load(); !slices.ContainsFunc(now, found.equal) {
		return fmt.Errorf("the API server now serves Calico's objects as %s, was %s: restarting", namesOf(now), found)
	}
	if !slices.Equal(operator, f.operator) {
		return fmt.Errorf("the API server now serves %v as %s, was %v: restarting", operator, calico.APIVersionOperator, f.operator)
	}
	return nil
}

// checkChoice follows the group that Calico reads now, and both while this is not known.
func (f *Follower) checkChoice(ctx context.Context, wg *sync.WaitGroup) error {
	live, known, err := choose(f.groups, f.information(ctx))
	if err != nil {
		if f.failure.Changed(err) {
			f.log.Error(err, "Cannot check which API group Calico reads", "group", f.found.Load().group.String())
		}
		return nil
	}
	followed := f.found.Load().group
	chosen := f.groups[live]
	if (!known || chosen.group != followed) && f.store.otherGroup().Empty() {
		f.log.Info("Calico may have moved its objects, so they are read from both API groups")
		other := f.groups[slices.IndexFunc(f.groups, func(s served) bool { return s.group != followed })]
		return f.followOther(ctx, wg, other)
	}
	if !known {
		return nil
	}
	dropped := f.store.settle(chosen.group)
	if dropped == nil {
		return nil
	}
	f.found.Store(&chosen)
	f.log.Info("Calico reads its objects from one API group", "group", chosen.group.String())
	for _, feed := range dropped.feeds {
		if feed.kind.Info().Calico {
			if err := f.informers.RemoveInformer(ctx, informed(dropped.group, feed.kind)); err != nil {
				f.log.Error(err, "Cannot stop a watch", "group", dropped.group.String(), "kind", feed.kind)
			}
		}
	}
	return nil
}

// information returns a function that returns the ClusterInformation of a group: as it is followed, or
// read from the API server. It returns nil if there is none.
func (f *Follower) information(ctx context.Context) func(schema.GroupVersion) (*calico.ClusterInformation, error) {
	return func(group schema.GroupVersion) (*calico.ClusterInformation, error) {
		if known, ok := f.store.information(group); ok {
			return known, nil
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(group.WithKind(string(calico.KindClusterInformation) + "List"))
		if err := f.direct.List(ctx, list, client.MatchingFields{metav1.ObjectNameField: calico.Default}); err != nil {
			return nil, fmt.Errorf("reading the ClusterInformation of %s: %w", group, err)
		}
		return informationIn(list)
	}
}

// informationIn returns the ClusterInformation "default" in a list, nil if there is none.
func informationIn(list *unstructured.UnstructuredList) (*calico.ClusterInformation, error) {
	for i := range list.Items {
		if list.Items[i].GetName() != calico.Default {
			continue
		}
		object, err := decode(list.Items[i].Object)
		if err != nil {
			return nil, err
		}
		out, _ := object.(*calico.ClusterInformation)
		return out, nil
	}
	return nil, nil
}

// errUnknownGroup means that Calico's objects are not served yet.
var errUnknownGroup = errors.New("the API group of Calico's objects is not known yet")

// Current returns the resourceVersion that an object has at the API server now, "" if there
// is no such object. The permission to list the kind suffices.
func (f *Follower) Current(ctx context.Context, id calico.ID) (string, error) {
	found := f.found.Load()
	if found == nil {
		return "", errUnknownGroup
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(groupVersion(id.Kind, found.group).WithKind(string(id.Kind) + "List"))
	if err := f.direct.List(ctx, list, client.MatchingFields{metav1.ObjectNameField: id.Name}); err != nil {
		return "", fmt.Errorf("reading %s: %w", id, err)
	}
	for i := range list.Items {
		if list.Items[i].Name == id.Name {
			return list.Items[i].ResourceVersion, nil
		}
	}
	return "", nil
}

// subscriber is the part of an informer that a Follower uses.
type subscriber interface {
	AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error)
}

// informer returns the informer of a feed. It is the cache's, except for Secrets: the
// cache would store the values of the Secrets in all namespaces.
func (f *Follower) informer(ctx context.Context, wg *sync.WaitGroup, feed *feed, group schema.GroupVersion) (subscriber, error) {
	if feed.kind == calico.KindSecret {
		informer, err := f.store.secretInformer(f.secrets, feed)
		if err != nil {
			return nil, err
		}
		wg.Go(func() { informer.RunWithContext(ctx) })
		return informer, nil
	}
	if feed.kind == calico.KindNode {
		return f.informers.GetInformer(ctx, &corev1.Node{}, cache.BlockUntilSynced(false))
	}
	return f.informers.GetInformer(ctx, informed(group, feed.kind), cache.BlockUntilSynced(false))
}

// informed returns the object that selects the informer of a kind of Calico or tigera-operator.
// group is the one that serves Calico's kinds.
func informed(group schema.GroupVersion, kind calico.Kind) client.Object {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(groupVersion(kind, group).WithKind(string(kind)))
	return object
}

// signalSynced waits for the event handler: the informer itself is synced before the
// handler has received the last events of the list.
func (f *Follower) signalSynced(ctx context.Context, feed *feed, registration toolscache.ResourceEventHandlerRegistration) {
	select {
	case <-ctx.Done():
	case <-registration.HasSyncedChecker().Done():
		f.log.Info("Read all objects of a kind", "kind", feed.kind)
		f.store.confirm(feed)
		f.store.synced(feed)
	}
}

// decode calls calico.DecodeStored and returns a panic as an error. Otherwise an object that causes
// a panic would end the process again after every restart.
func decode(object map[string]any) (decoded calico.Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			decoded, err = nil, fmt.Errorf("decoding it panicked: %v", r)
		}
	}()
	return calico.DecodeStored(object)
}

// handler returns the event handler for the informer of a kind in the group that Calico reads.
func (s *Store) handler(kind calico.Kind) toolscache.ResourceEventHandler {
	return s.handlerOf(s.contents, kind)
}

// handlerOf returns the event handler for the informer of a kind that feeds contents.
func (s *Store) handlerOf(to *contents, kind calico.Kind) toolscache.ResourceEventHandler {
	put := func(object any) {
		switch o := object.(type) {
		case *corev1.Secret:
			s.put(to, calico.ID{Kind: kind, Name: o.Name}, calico.SecretFromCore(o), nil)
		case *stored:
			s.put(to, calico.ID{Kind: kind, Name: o.name}, o.decoded, o.err)
		case *unstructured.Unstructured:
			decoded, err := decode(o.Object)
			s.put(to, calico.ID{Kind: kind, Name: o.GetName()}, decoded, err)
		}
		s.report(to, kind, object, true)
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, object any) { put(object) },
		DeleteFunc: func(object any) {
			// The name is in the key, also if the informer missed the deletion and has
			// only an older version of the object.
			if name, err := toolscache.DeletionHandlingObjectToName(object); err == nil {
				s.remove(to, calico.ID{Kind: kind, Name: name.Name})
				if missed, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
					object = &metav1.ObjectMeta{Name: missed.Key}
				}
				s.report(to, kind, object, false)
			}
		},
	}
}

// report passes an event that is in the store to the metrics and the observer. Neither is about
// a group that Calico may not read.
func (s *Store) report(from *contents, kind calico.Kind, object any, exists bool) {
	o, err := meta.Accessor(object)
	if err != nil || kind.Info().Calico && !s.isLive(from) {
		return
	}
	if !kind.Info().Observation {
		s.observer.Observe(calico.ID{Kind: kind, Name: o.GetName()}, o.GetResourceVersion(), exists)
	}
	s.setShown(kind, o.GetResourceVersion())
}

// confirm tells the observer which version the informer of a feed has reached. The event
// handler may have received less than the informer holds.
func (s *Store) confirm(f *feed) {
	informer := f.informer.Load()
	if informer == nil || f.observation {
		return
	}
	objects := (*informer).GetStore()
	// Read before the objects, which may then only be newer.
	version := objects.LastStoreSyncResourceVersion()
	s.observer.Confirm(f.kind, version, func(yield func(string, string) bool) {
		for _, object := range objects.List() {
			if o, err := meta.Accessor(object); err == nil && !yield(o.GetName(), o.GetResourceVersion()) {
				return
			}
		}
	})
}
