package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// kindCalicoNodeStatus is listed beside the kinds that decide BGP: it tells how
// sessions are doing.
const kindCalicoNodeStatus calico.Kind = "CalicoNodeStatus"

// statusResource serves CalicoNodeStatuses, in Calico's group.
const statusResource = "caliconodestatuses"

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
	// State holds the objects that decide BGP, and knows the kinds that were read.
	State *state.Snapshot
	// Objects are all that decode, sorted by kind and name.
	Objects []calico.Object
	// Manifests are these objects in the form of the API, with their labels,
	// annotations and specs as their authors wrote them, and without what nothing
	// here reads. They share values with Objects and must not be changed.
	Manifests []map[string]any
	// Unread is what the reading lacks, sorted by kind and name.
	Unread []Unread
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
	kinds := append([]calico.Kind{calico.KindNode}, found.kinds...)
	if !slices.Contains(kinds, kindCalicoNodeStatus) {
		kinds = append(kinds, kindCalicoNodeStatus)
	}
	known := make([]calico.Kind, 0, len(kinds))
	for _, kind := range kinds {
		manifests, err := r.list(ctx, kind)
		switch {
		case err == nil:
			known = append(known, kind)
			r.decode(kind, manifests)
		case kind == kindCalicoNodeStatus && apierrors.IsNotFound(err): // Calico before v3.21 has none.
		case optional(kind) && apierrors.IsForbidden(err):
			r.reading.Unread = append(r.reading.Unread, Unread{Kind: kind, Err: r.explain(ctx, r.resource(kind).GroupResource(), err)})
		default:
			return nil, r.explain(ctx, r.resource(kind).GroupResource(), err)
		}
	}
	return r.finish(known), nil
}

// optional reports whether a state can do without the objects of a kind.
func optional(kind calico.Kind) bool {
	return kind == kindCalicoNodeStatus || !state.New().Knows(kind)
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
	reading   Reading
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
	binary.ContentType = "application/vnd.kubernetes.protobuf" // A third of the time and of the bytes of JSON.
	core, err := corev1client.NewForConfigAndClient(binary, client)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	r.nodes = core.Nodes()
	return r, nil
}

// resource is where the objects of a kind are served.
func (r *reader) resource(kind calico.Kind) schema.GroupVersionResource {
	if kind == calico.KindNode {
		return schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	}
	for _, known := range resources {
		if known.kind == kind {
			return r.group.WithResource(known.name)
		}
	}
	return r.group.WithResource(statusResource)
}

// list lists the objects of a kind, cut down page by page.
func (r *reader) list(ctx context.Context, kind calico.Kind) ([]map[string]any, error) {
	var err error
	for range attempts {
		var manifests []map[string]any
		if manifests, err = r.pages(ctx, kind); !apierrors.IsResourceExpired(err) {
			return manifests, err
		}
	}
	return nil, fmt.Errorf("the API server forgot the list in the middle, %d times, because reading it takes too long: %w", attempts, err)
}

func (r *reader) pages(ctx context.Context, kind calico.Kind) ([]map[string]any, error) {
	options := metav1.ListOptions{Limit: pageSize}
	if kind == kindCalicoNodeStatus {
		options.Limit = statusPageSize
	}
	var manifests []map[string]any
	for {
		page, list, err := r.page(ctx, kind, options)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, page...)
		options.Continue = list.GetContinue()
		if r.progress != nil {
			r.progress(Progress{Kind: kind, Objects: len(manifests), Total: total(len(manifests), list)})
		}
		if options.Continue == "" {
			return manifests, nil
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
			out = append(out, nodeManifest(r.intern.slim(&list.Items[i])))
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

// decode takes in the objects of one kind.
func (r *reader) decode(kind calico.Kind, manifests []map[string]any) {
	for _, manifest := range manifests {
		object, err := decode(manifest)
		if unknown, ok := errors.AsType[*calico.UnknownKindError](err); ok && unknown.Status() {
			r.reading.Manifests = append(r.reading.Manifests, manifest)
			continue
		}
		if err != nil {
			r.reading.Unread = append(r.reading.Unread, Unread{kind, nameOf(manifest), err})
			continue
		}
		r.reading.Objects = append(r.reading.Objects, object)
		r.reading.Manifests = append(r.reading.Manifests, withoutEmpty(calico.Manifest(object)))
	}
}

// finish puts what was read in order.
func (r *reader) finish(known []calico.Kind) *Reading {
	out := &r.reading
	out.State = state.New(out.Objects...).Knowing(known...)
	if refersToSecret(out.State) {
		out.Unread = append(out.Unread, Unread{Kind: calico.KindSecret, Err: errors.New("Secrets are never read here, so passwords are taken to be there")})
	}
	compare := func(aKind, aName, bKind, bName string) int {
		return cmp.Or(cmp.Compare(aKind, bKind), cmp.Compare(aName, bName))
	}
	slices.SortFunc(out.Objects, func(a, b calico.Object) int {
		x, y := a.ID(), b.ID()
		return compare(string(x.Kind), x.Name, string(y.Kind), y.Name)
	})
	slices.SortFunc(out.Manifests, func(a, b map[string]any) int {
		x, _ := a["kind"].(string)
		y, _ := b["kind"].(string)
		return compare(x, nameOf(a), y, nameOf(b))
	})
	slices.SortFunc(out.Unread, func(a, b Unread) int { return compare(string(a.Kind), a.Name, string(b.Kind), b.Name) })
	return out
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
