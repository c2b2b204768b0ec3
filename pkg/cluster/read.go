package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

const (
	// pageSize is the number of objects in one request: about 5 MB of Nodes.
	pageSize = 500
	// statusPageSize is the page size for CalicoNodeStatuses. An object with the routes of
	// a node can be almost as large as etcd's limit of 1.5 MB.
	statusPageSize = 50
	// attempts is the maximum number of attempts to read the list of a kind. Reading starts
	// again if the list expires (410 Gone), about 5 minutes after the first page.
	attempts = 3
	// requestTimeout is the time limit for one page, unless the configuration has one.
	requestTimeout = time.Minute
)

// ReadOptions are the options of Read.
type ReadOptions struct {
	// Progress is called after each page, unless it is nil.
	Progress func(Progress)
}

// Progress is the progress of reading one kind.
type Progress struct {
	Kind calico.Kind
	// Objects is the number of objects read so far. It starts again at 0 when a list
	// expired and must be read again.
	Objects int
	// Total is the API server's estimate of the number of objects, 0 if it is unknown.
	// After the last page it is equal to Objects.
	Total int
}

// Reading is the result of Read. The objects of one kind are consistent: they are the state
// at one time. This time differs between kinds.
type Reading struct {
	// State contains the objects, knows the kinds that were read, and has the objects that do
	// not decode as unread.
	State *state.Snapshot
	// Objects are the objects that decode, sorted by kind and name.
	Objects []calico.Object
	// Unread lists the kinds and objects that could not be read, sorted by kind and name.
	Unread []Unread

	// none holds an empty list for each kind of Calico that was read and has no objects.
	none []map[string]any
}

// Manifests iterates over the objects, in their order, as documents with the labels,
// annotations and specs that their authors wrote. Before the objects, it yields an empty list
// for each kind of Calico without objects. state.ReadState needs these lists to know the kinds.
// The documents share values with Objects and must not be changed.
func (r *Reading) Manifests() iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for _, list := range r.none {
			if !yield(list) {
				return
			}
		}
		for _, object := range r.Objects {
			if !yield(withLastApplied(object)) {
				return
			}
		}
	}
}

// Unread is a kind that was not read, or an object that does not decode.
type Unread struct {
	Kind calico.Kind
	// Name is the name of the object, "" for a kind.
	Name string
	Err  error
	// Field is true if only a field of the object was not read.
	Field bool
}

// String describes what is missing, the consequence, and the cause.
func (u Unread) String() string {
	if u.Name == "" {
		return fmt.Sprintf("kind %s was not read, so checks that depend on it are skipped: %v", u.Kind, u.Err)
	}
	if u.Field {
		return fmt.Sprintf("%s %s has a value that Calico cannot decode: %v", u.Kind, u.Name, u.Err)
	}
	return fmt.Sprintf("%s %s is ignored, because it does not parse: %v", u.Kind, u.Name, u.Err)
}

// Read reads the Nodes and Calico's objects of a cluster once, page by page. It only lists
// objects, and never Secrets.
//
// If two API groups serve Calico's objects, Read reads the group that Calico reads. While this is
// not known, the state has the state in the other group, too; see Snapshot.Other.
//
// Optional kinds that the user is not permitted to list, and objects that do not decode,
// are skipped and returned as Unread. Anything else that cannot be read is an error.
func Read(ctx context.Context, config *rest.Config, options ReadOptions) (*Reading, error) {
	r, err := newReader(config, options)
	if err != nil {
		return nil, err
	}
	client := discovererFunc(func(groupVersion string) (*metav1.APIResourceList, error) {
		return r.discovery.ServerResourcesForGroupVersionWithContext(ctx, groupVersion)
	})
	found, err := discover(client)
	if err != nil {
		return nil, r.explain(ctx, schema.GroupResource{}, err)
	}
	operator, err := discoverOperator(client)
	if err != nil {
		return nil, r.explain(ctx, schema.GroupResource{}, err)
	}
	live, known, err := choose(found, func(group schema.GroupVersion) (*calico.ClusterInformation, error) {
		list, err := r.objects.Resource(group.WithResource(calico.KindClusterInformation.Info().Resource)).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return informationIn(list)
	})
	if err != nil {
		return nil, r.explain(ctx, schema.GroupResource{Group: calico.GroupV1, Resource: calico.KindClusterInformation.Info().Resource}, err)
	}
	out := &Reading{}
	nodes, err := r.read(ctx, out, append([]calico.Kind{calico.KindNode}, operator...))
	if err != nil {
		return nil, err
	}
	other := &Reading{Objects: slices.Clone(out.Objects), Unread: slices.Clone(out.Unread)}
	r.group = found[live].group
	kinds, err := r.read(ctx, out, found[live].kinds)
	if err != nil {
		return nil, err
	}
	out.finish(append(nodes, kinds...))
	if known {
		out.State = out.State.ReadFrom(r.group.String(), nil)
		return out, nil
	}
	of := r.group.String()
	r.group = found[1-live].group
	if kinds, err = r.read(ctx, other, found[1-live].kinds); err != nil {
		return nil, err
	}
	other.finish(append(nodes, kinds...))
	out.State = out.State.ReadFrom(of, other.State)
	return out, nil
}

// reader reads one cluster once.
type reader struct {
	host      string
	discovery *discovery.DiscoveryClient
	nodes     corev1client.NodeInterface
	objects   dynamic.Interface
	group     schema.GroupVersion
	progress  func(Progress)
	intern    interner
}

// read adds the objects of kinds to out, and returns the kinds that it has read.
func (r *reader) read(ctx context.Context, out *Reading, kinds []calico.Kind) ([]calico.Kind, error) {
	var known []calico.Kind
	for _, kind := range kinds {
		optional := kind.Info().Need == calico.Optional
		read, err := r.list(ctx, kind)
		switch {
		case err == nil:
			known = append(known, kind)
			out.Objects, out.Unread = append(out.Objects, read.objects...), append(out.Unread, read.unread...)
			if kind.Info().Calico && len(read.objects) == 0 {
				out.none = append(out.none, map[string]any{"apiVersion": r.group.String(), "kind": string(kind) + "List", "items": []any{}})
			}
		case optional && apierrors.IsForbidden(err):
			out.Unread = append(out.Unread, Unread{Kind: kind, Err: r.explain(ctx, r.resource(kind).GroupResource(), err)})
		default:
			return nil, r.explain(ctx, r.resource(kind).GroupResource(), err)
		}
	}
	return known, nil
}

type discovererFunc func(groupVersion string) (*metav1.APIResourceList, error)

// ServerResourcesForGroupVersion calls f.
func (f discovererFunc) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	return f(groupVersion)
}

func newReader(config *rest.Config, options ReadOptions) (*reader, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, -1 // One request at a time; the API server limits the rate.
	if config.Timeout == 0 {
		config.Timeout = requestTimeout
	}
	// The user of this command cannot act on warnings about deprecated APIs.
	config.WarningHandler = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client of %s: %w", config.Host, err)
	}
	r := &reader{host: config.Host, progress: options.Progress}
	if r.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("creating a client of %s: %w", config.Host, err)
	}
	if r.objects, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("creating a client of %s: %w", config.Host, err)
	}
	binary := rest.CopyConfig(config)
	binary.ContentType = "application/vnd.kubernetes.protobuf" // Takes a third of the time of JSON.
	core, err := corev1client.NewForConfigAndClient(binary, client)
	if err != nil {
		return nil, fmt.Errorf("creating a client of %s: %w", config.Host, err)
	}
	r.nodes = core.Nodes()
	return r, nil
}

// resource returns the resource that serves the objects of a kind.
func (r *reader) resource(kind calico.Kind) schema.GroupVersionResource {
	return groupVersion(kind, r.group).WithResource(kind.Info().Resource)
}

// listed holds the objects of a kind that were read.
type listed struct {
	objects []calico.Object
	unread  []Unread
}

// add decodes a stripped object.
func (l *listed) add(kind calico.Kind, manifest map[string]any) {
	object, err := decode(manifest)
	odd := calico.Odd(object)
	if err == nil && calico.IsUnparsed(object) {
		err = &odd[0]
	}
	if err != nil {
		l.unread = append(l.unread, Unread{Kind: kind, Name: nameOf(manifest), Err: err})
		return
	}
	for i := range odd {
		l.unread = append(l.unread, Unread{Kind: kind, Name: nameOf(manifest), Err: &odd[i], Field: true})
	}
	l.objects = append(l.objects, object)
}

// list lists the objects of a kind.
func (r *reader) list(ctx context.Context, kind calico.Kind) (listed, error) {
	var err error
	for range attempts {
		var read listed
		if read, err = r.pages(ctx, kind); !apierrors.IsResourceExpired(err) {
			return read, err
		}
	}
	return listed{}, fmt.Errorf("the list expired %d times before all of it was read, because reading takes too long: %w", attempts, err)
}

// pages lists the objects of a kind page by page, so that the complete objects of only
// one page are in memory at once.
func (r *reader) pages(ctx context.Context, kind calico.Kind) (listed, error) {
	options := metav1.ListOptions{Limit: pageSize}
	if kind == calico.KindCalicoNodeStatus {
		options.Limit = statusPageSize
	}
	var out listed
	for count := 0; ; {
		page, list, err := r.page(ctx, kind, options)
		if err != nil {
			return listed{}, err
		}
		for _, manifest := range page {
			out.add(kind, manifest)
		}
		count += len(page)
		if r.progress != nil {
			r.progress(Progress{Kind: kind, Objects: count, Total: total(count, list)})
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return out, nil
		}
	}
}

// total returns the API server's estimate of the number of objects, 0 if it gives none,
// after read of them were read.
func total(read int, list metav1.ListInterface) int {
	remaining := list.GetRemainingItemCount()
	switch {
	case list.GetContinue() == "":
		return read
	case remaining == nil:
		return 0
	default:
		return read + int(*remaining)
	}
}

// page reads one page of the objects of a kind and strips them.
func (r *reader) page(ctx context.Context, kind calico.Kind, options metav1.ListOptions) ([]map[string]any, metav1.ListInterface, error) {
	var out []map[string]any
	if kind == calico.KindNode {
		list, err := r.nodes.List(ctx, options)
		if err != nil {
			return nil, nil, err
		}
		for i := range list.Items {
			node := nodeManifest(stripNode(&list.Items[i], &r.intern))
			if last := list.Items[i].Annotations[corev1.LastAppliedConfigAnnotation]; last != "" {
				withAnnotation(node, last)
			}
			out = append(out, node)
		}
		return out, list, nil
	}
	list, err := r.objects.Resource(r.resource(kind)).List(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	for i := range list.Items {
		out = append(out, strip(list.Items[i].Object))
	}
	return out, list, nil
}

// finish sorts the objects and builds the state.
func (r *Reading) finish(known []calico.Kind) {
	objects := slices.Clone(r.Objects)
	for _, u := range r.Unread {
		if u.Name != "" && !u.Field {
			objects = append(objects, calico.NewUnparsed(calico.ID{Kind: u.Kind, Name: u.Name}, u.Err))
		}
	}
	r.State = state.New(objects...).Knowing(known...)
	if refersToSecret(r.State) {
		r.Unread = append(r.Unread, Unread{Kind: calico.KindSecret, Err: errors.New("this command never lists Secrets")})
	}
	compare := func(a, b calico.ID) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	}
	slices.SortFunc(r.Objects, func(a, b calico.Object) int { return compare(a.ID(), b.ID()) })
	slices.SortFunc(r.Unread, func(a, b Unread) int {
		return compare(calico.ID{Kind: a.Kind, Name: a.Name}, calico.ID{Kind: b.Kind, Name: b.Name})
	})
}

// refersToSecret reports whether a session's password is in a Secret.
func refersToSecret(s *state.Snapshot) bool {
	return slices.ContainsFunc(s.BGPPeers(), func(p *calico.BGPPeer) bool { return p.Password != "" }) ||
		slices.ContainsFunc(s.BGPConfigurations(), func(c *calico.BGPConfiguration) bool { return c.NodeMeshPassword != "" })
}

// explain adds to an error of the API server what it means for the user and what to do.
// resource is the resource of the failed list, empty for other requests.
func (r *reader) explain(ctx context.Context, resource schema.GroupResource, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted while reading %s: %w", r.host, ctx.Err())
	}
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %w", r.host, unreachable.Err)
	}
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s rejected the kubeconfig's credentials, which are missing, wrong or expired: %w", r.host, err)
	case resource.Empty():
		return fmt.Errorf("the API server %s: %w", r.host, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: you need permission to list them; check it with \"kubectl auth can-i list %s\"", err, resource)
	default:
		return fmt.Errorf("listing %s of the API server %s: %w", resource, r.host, err)
	}
}
