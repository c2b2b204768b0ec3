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
	// pageSize is how many objects one request asks for: about 5 MB of Nodes.
	pageSize = 500
	// statusPageSize is the same for CalicoNodeStatuses, which can hold the routes
	// of a node and then come near the 1.5 MB that etcd takes of an object.
	statusPageSize = 50
	// attempts is how often the list of a kind is begun: it has to begin again
	// where the API server forgot its state in the middle (410 Gone), about 5
	// minutes after the first page.
	attempts = 3
	// requestTimeout is for one page, unless the configuration has a time of its own.
	requestTimeout = time.Minute
)

// ReadOptions say how a cluster is read.
type ReadOptions struct {
	// Progress, where it is not nil, is told after each page how far the reading is.
	Progress func(Progress)
}

// Progress is how far the reading of one kind is.
type Progress struct {
	Kind calico.Kind
	// Objects counts those that were read. It falls back where a list begins again.
	Objects int
	// Total is how many there are as the API server estimates; Objects after the
	// last page, 0 where the API server does not tell.
	Total int
}

// Reading is a cluster as it was read once. Each kind is as it was at one
// moment, which is not the same moment for all.
type Reading struct {
	// State holds the objects, and knows the kinds that were read.
	State *state.Snapshot
	// Objects are those that decode, sorted by kind and name.
	Objects []calico.Object
	// Unread is what the reading lacks, sorted by kind and name.
	Unread []Unread

	// none are the empty lists of the kinds that a state may lack and of which there
	// is none.
	none []map[string]any
}

// Manifests gives the objects, in their order, in the form of the API: with the
// labels, annotations and specs that their authors wrote, and without what nothing
// here reads. Before them come empty lists, which tell state.ReadState that there is
// no object of a kind. What is given shares values with Objects and must not be changed.
func (r *Reading) Manifests() iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for _, list := range r.none {
			if !yield(list) {
				return
			}
		}
		for _, object := range r.Objects {
			if !yield(withoutEmpty(calico.Manifest(object))) {
				return
			}
		}
	}
}

// Unread is a kind that was not read, or an object that does not decode.
type Unread struct {
	Kind calico.Kind
	// Name is that of the object, "" where it is the whole kind.
	Name string
	Err  error
}

// String says what is missing, why, and what follows from it.
func (u Unread) String() string {
	if u.Name == "" {
		return fmt.Sprintf("no %s was read, and what depends on one is not judged: %v", u.Kind, u.Err)
	}
	return fmt.Sprintf("%s %s is left out, as it does not parse: %v", u.Kind, u.Name, u.Err)
}

// Read reads the Nodes and Calico's objects of a cluster once, page by page. It
// asks for nothing but lists, and never for a Secret.
//
// Kinds that a state can do without, which are BGPFilters and CalicoNodeStatuses,
// are left out where the API server forbids to list them, and so is an object that
// does not decode; Unread says so. All else that cannot be read is an error.
func Read(ctx context.Context, config *rest.Config, options ReadOptions) (*Reading, error) {
	r, err := newReader(config, options)
	if err != nil {
		return nil, err
	}
	found, err := discover(discovererFunc(func(groupVersion string) (*metav1.APIResourceList, error) {
		return r.discovery.ServerResourcesForGroupVersionWithContext(ctx, groupVersion)
	}))
	if err != nil {
		return nil, r.explain(ctx, schema.GroupResource{}, err)
	}
	r.group = found.group
	out := &Reading{}
	var known []calico.Kind
	for _, kind := range append([]calico.Kind{calico.KindNode}, found.kinds...) {
		optional := kind.Info().Need == calico.Optional
		read, err := r.list(ctx, kind)
		switch {
		case err == nil:
			known = append(known, kind)
			out.Objects, out.Unread = append(out.Objects, read.objects...), append(out.Unread, read.unread...)
			if optional && len(read.objects) == 0 {
				out.none = append(out.none, map[string]any{"apiVersion": r.group.String(), "kind": string(kind) + "List", "items": []any{}})
			}
		case optional && apierrors.IsForbidden(err):
			out.Unread = append(out.Unread, Unread{Kind: kind, Err: r.explain(ctx, r.resource(kind).GroupResource(), err)})
		default:
			return nil, r.explain(ctx, r.resource(kind).GroupResource(), err)
		}
	}
	out.finish(known)
	return out, nil
}

type discovererFunc func(groupVersion string) (*metav1.APIResourceList, error)

func (f discovererFunc) ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error) {
	return f(groupVersion)
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

func newReader(config *rest.Config, options ReadOptions) (*reader, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, -1 // One request at a time; the API server's own limits hold.
	if config.Timeout == 0 {
		config.Timeout = requestTimeout
	}
	// What is deprecated about an API is of no use to those who read through this.
	config.WarningHandler = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	r := &reader{host: config.Host, progress: options.Progress}
	if r.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	if r.objects, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	binary := rest.CopyConfig(config)
	binary.ContentType = "application/vnd.kubernetes.protobuf" // A third of the time that JSON takes.
	core, err := corev1client.NewForConfigAndClient(binary, client)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	r.nodes = core.Nodes()
	return r, nil
}

// resource is where the objects of a kind are served.
func (r *reader) resource(kind calico.Kind) schema.GroupVersionResource {
	info := kind.Info()
	if !info.Calico {
		return schema.GroupVersionResource{Version: calico.APIVersionCore, Resource: info.Resource}
	}
	return r.group.WithResource(info.Resource)
}

// listed is what was read of a kind.
type listed struct {
	objects []calico.Object
	unread  []Unread
}

// take takes in an object, cut down.
func (l *listed) take(kind calico.Kind, manifest map[string]any) {
	object, err := decode(manifest)
	if err != nil {
		l.unread = append(l.unread, Unread{kind, nameOf(manifest), err})
		return
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
	return listed{}, fmt.Errorf("the API server forgot the list in the middle, %d times, because reading it takes too long: %w", attempts, err)
}

// pages lists the objects of a kind page by page, so that no more than one page of
// them is in memory as the API server sends them.
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
			out.take(kind, manifest)
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

// total estimates how many objects there are once read of them were.
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

// page reads one page of the objects of a kind, and cuts them down.
func (r *reader) page(ctx context.Context, kind calico.Kind, options metav1.ListOptions) ([]map[string]any, metav1.ListInterface, error) {
	var out []map[string]any
	if kind == calico.KindNode {
		list, err := r.nodes.List(ctx, options)
		if err != nil {
			return nil, nil, err
		}
		for i := range list.Items {
			out = append(out, nodeManifest(slim(&list.Items[i], &r.intern)))
		}
		return out, list, nil
	}
	list, err := r.objects.Resource(r.resource(kind)).List(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	for i := range list.Items {
		out = append(out, cut(list.Items[i].Object))
	}
	return out, list, nil
}

// finish puts what was read in order.
func (r *Reading) finish(known []calico.Kind) {
	r.State = state.New(r.Objects...).Knowing(known...)
	if refersToSecret(r.State) {
		r.Unread = append(r.Unread, Unread{Kind: calico.KindSecret, Err: errors.New("this never asks for Secrets")})
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

// explain says what an error of the API server means to the one who reads and
// what to do. resource is what was to be listed, empty where nothing was yet.
func (r *reader) explain(ctx context.Context, resource schema.GroupResource, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted while reading %s: %w", r.host, ctx.Err())
	}
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %w", r.host, unreachable.Err)
	}
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s does not know who asks: the kubeconfig's credentials are missing, wrong or expired: %w", r.host, err)
	case resource.Empty():
		return fmt.Errorf("the API server %s: %w", r.host, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: get the right to list them; \"kubectl auth can-i list %s\" tells who has it", err, resource)
	default:
		return fmt.Errorf("listing %s of the API server %s: %w", resource, r.host, err)
	}
}
