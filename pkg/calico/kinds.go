package calico

import (
	"fmt"
	"slices"
	"strings"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// Kind is the kind of an object that decides BGP, or that reports its status.
type Kind string

// The kinds in the table of kinds.
const (
	KindNode               Kind = "Node"
	KindSecret             Kind = "Secret"
	KindBGPConfiguration   Kind = "BGPConfiguration"
	KindBGPPeer            Kind = "BGPPeer"
	KindBGPFilter          Kind = "BGPFilter"
	KindIPPool             Kind = "IPPool"
	KindFelixConfiguration Kind = "FelixConfiguration"
	KindClusterInformation Kind = "ClusterInformation"
	KindCalicoNodeStatus   Kind = "CalicoNodeStatus"
	KindIPAMBlock          Kind = "IPAMBlock"
	KindInstallation       Kind = "Installation"
)

// The API groups that serve Calico's objects. GroupV1 contains the CRDs that calico-node
// reads. GroupV3 is the public API, which newer versions of Calico serve as CRDs.
const (
	GroupV1 = "crd.projectcalico.org"
	GroupV3 = v3.Group
)

// The API versions in which objects are read.
const (
	APIVersionCore = "v1"
	APIVersionV1   = GroupV1 + "/v1"
	APIVersionV3   = v3.GroupVersionCurrent
	// APIVersionOperator is that of tigera-operator's Installation.
	APIVersionOperator = "operator.tigera.io/v1"
)

// APIVersions lists the API versions in which API servers serve Calico's objects. The first
// one has precedence, because calico-node reads it: where crd.projectcalico.org is served,
// projectcalico.org is an aggregated API over the same objects, or the target of an
// unfinished migration. It must not be changed.
var APIVersions = []string{APIVersionV1, APIVersionV3}

// Info is a row of the table of kinds. It describes a kind to the rest of the program: the
// snapshot, the readers of clusters and files, admission, the audit and error messages.
// Tests compare config/webhook, config/rbac and the kinds that a BGPPolicy can match with
// the table.
//
// To add a kind, add a row, a struct that embeds Metadata, and its decoder. A package
// that reads objects of the kind also needs an accessor in pkg/state.
type Info struct {
	Kind Kind
	// Resource is the name of the kind in URLs and RBAC rules.
	Resource string
	// Need says whether a state must contain the objects of the kind.
	Need Need
	// Review selects the changes that admission reviews.
	Review Review
	// Observation is true if the objects report the status of the network. They do
	// not decide BGP: no decision waits for them or depends on them.
	Observation bool
	// OptIn is true if a process that follows a cluster reads the kind only with an option,
	// with permissions that an optional component grants.
	OptIn bool
	// Calico is true if Calico's API groups serve the kind.
	Calico bool
	// Operator is true if tigera-operator's API group serves the kind, in clusters that have it.
	// If neither Calico nor Operator is true, Kubernetes serves the kind.
	Operator bool
	// Empty is an empty list of the kind.
	Empty List

	forms []form
}

// APIVersion returns the API version in which an API server serves the kind. served is the one of
// APIVersions in which it serves Calico's kinds.
func (i Info) APIVersion(served string) string {
	switch {
	case i.Calico:
		return served
	case i.Operator:
		return APIVersionOperator
	default:
		return APIVersionCore
	}
}

// Need says whether a state must contain the objects of a kind.
type Need int

const (
	// Expected means that a state contains all objects of the kind. An API server may not
	// serve the kind, because a later version of Calico added it, or because a part of
	// Calico is not installed. The state then contains no objects of the kind.
	Expected Need = iota
	// Required means Expected, and every API server that serves Calico's objects serves
	// the kind.
	Required
	// Optional means that a state may lack the kind, because its reader did not request
	// the kind or has no permission to list it. Snapshot.Knows of pkg/state reports
	// whether a state contains it.
	Optional
)

// Review selects the changes of a kind that admission reviews.
type Review int

const (
	// ReviewNone selects no changes.
	ReviewNone Review = iota
	// ReviewBGPFields selects deletes, updates of fields that decide BGP, and creates of
	// objects that have such fields. A Node has no BGP annotation when a kubelet creates it,
	// so its registration is not reviewed.
	ReviewBGPFields
	// ReviewAll selects every create, update and delete.
	ReviewAll
)

// form is an API version of a kind and the decoder of its objects.
type form struct {
	apiVersion string
	decode     func(v map[string]any) (Object, error)
}

var table = [...]Info{
	{
		Kind: KindNode, Resource: "nodes", Need: Required, Review: ReviewBGPFields, Empty: Objects[*Node](nil),
		// calicoctl writes Nodes as projectcalico.org/v3; no API server serves them
		// (libcalico-go/lib/apis/internalapi/node.go).
		forms: []form{{APIVersionCore, whole(decodeCoreNode)}, {APIVersionV3, whole(decodeCalicoNode)}},
	},
	{
		Kind: KindSecret, Resource: "secrets", Need: Optional, OptIn: true, Empty: Objects[*Secret](nil),
		forms: []form{{APIVersionCore, decodeSecret}},
	},
	{
		Kind: KindBGPConfiguration, Resource: "bgpconfigurations", Need: Required, Review: ReviewAll, Calico: true, Empty: Objects[*BGPConfiguration](nil),
		forms: calicoForms(decodeBGPConfiguration),
	},
	{
		Kind: KindBGPPeer, Resource: "bgppeers", Need: Required, Review: ReviewAll, Calico: true, Empty: Objects[*BGPPeer](nil),
		forms: calicoForms(decodeBGPPeer),
	},
	{
		Kind: KindIPPool, Resource: "ippools", Review: ReviewAll, Calico: true, Empty: Objects[*IPPool](nil),
		forms: calicoForms(decodeIPPool),
	},
	{
		Kind: KindBGPFilter, Resource: "bgpfilters", Need: Optional, Review: ReviewAll, Calico: true, Empty: Objects[*BGPFilter](nil),
		forms: calicoForms(decodeBGPFilter),
	},
	{
		Kind: KindFelixConfiguration, Resource: "felixconfigurations", Review: ReviewAll, Calico: true, Empty: Objects[*FelixConfiguration](nil),
		forms: calicoForms(decodeFelixConfiguration),
	},
	{
		Kind: KindClusterInformation, Resource: "clusterinformations", Calico: true, Empty: Objects[*ClusterInformation](nil),
		forms: calicoForms(decodeClusterInformation),
	},
	{
		Kind: KindIPAMBlock, Resource: "ipamblocks", Need: Optional, OptIn: true, Calico: true, Empty: Objects[*IPAMBlock](nil),
		forms: everyVersion(decodeIPAMBlock),
	},
	{
		Kind: KindInstallation, Resource: "installations", Need: Optional, Review: ReviewAll, Operator: true, Empty: Objects[*Installation](nil),
		forms: []form{{APIVersionOperator, whole(func(d *document) Object { return decodeInstallation(d.Metadata, d.spec) })}},
	},
	{
		Kind: KindCalicoNodeStatus, Resource: "caliconodestatuses", Need: Optional, Observation: true, Calico: true, Empty: Objects[*NodeStatus](nil),
		forms: everyVersion(decodeNodeStatus),
	},
}

// KindCount is the number of kinds.
const KindCount = len(table)

var indexes = func() map[Kind]int {
	out := make(map[Kind]int, KindCount)
	for i := range table {
		out[table[i].Kind] = i
	}
	return out
}()

// Kinds returns the table of kinds. It must not be changed.
func Kinds() []Info { return table[:] }

// Index returns the index of the kind in Kinds, -1 if the table does not contain it.
func (k Kind) Index() int {
	if i, ok := indexes[k]; ok {
		return i
	}
	return -1
}

// Info returns the row of the kind, the zero Info if the table does not contain it.
func (k Kind) Info() Info {
	if i := k.Index(); i >= 0 {
		return table[i]
	}
	return Info{}
}

// KindOf returns the kind of an object with the given apiVersion and kind. For a list, the
// caller removes the suffix "List" of kind first. The error is a *FieldError if the API
// group has the kind in another version only, else an *UnknownKindError.
func KindOf(apiVersion, kind string) (Kind, error) {
	f, err := formOf(apiVersion, kind)
	if f == nil {
		return "", err
	}
	return Kind(kind), nil
}

// formOf returns the form of a kind in an API version.
func formOf(apiVersion, kind string) (*form, error) {
	i := Kind(kind).Index()
	if i < 0 {
		return nil, &UnknownKindError{apiVersion, kind}
	}
	forms := table[i].forms
	known := false
	for i := range forms {
		if forms[i].apiVersion == apiVersion {
			return &forms[i], nil
		}
		known = known || groupOf(forms[i].apiVersion) == groupOf(apiVersion)
	}
	if !known { // Another project has a kind of the same name, such as MetalLB's BGPPeer.
		return nil, &UnknownKindError{apiVersion, kind}
	}
	return nil, &FieldError{"apiVersion", fmt.Sprintf("must be %s for %s, is %q", strings.Join(apiVersions(forms), " or "), text.A(kind), apiVersion)}
}

// groupOf returns the group of an API version, "" for the core group. Text without a slash
// is a group if it contains a dot, because a version contains none.
func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok && !strings.Contains(group, ".") {
		return ""
	}
	return group
}

func apiVersions(forms []form) []string {
	out := make([]string, len(forms))
	for i := range forms {
		out[i] = forms[i].apiVersion
	}
	return out
}

// UnknownKindError reports an object whose kind is not in the table, or is in another API
// group.
type UnknownKindError struct{ APIVersion, Kind string }

// Error names the kind, and lists the known kinds with their API versions.
func (e *UnknownKindError) Error() string {
	var groups []string
	kinds := map[string][]string{}
	for i := range table {
		versions := strings.Join(apiVersions(table[i].forms), " and ")
		if kinds[versions] == nil {
			groups = append(groups, versions)
		}
		kinds[versions] = append(kinds[versions], string(table[i].Kind))
	}
	known := make([]string, len(groups))
	for i, versions := range groups {
		slices.Sort(kinds[versions])
		known[i] = strings.Join(kinds[versions], ", ") + " of " + versions
	}
	last := len(known) - 1
	return fmt.Sprintf("%s of %s does not decide BGP; known are %s, and %s", e.Kind, e.APIVersion, strings.Join(known[:last], ", "), known[last])
}
