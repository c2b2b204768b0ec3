package calico

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	k8sjson "sigs.k8s.io/json"
)

// IPAMBlock is a block of addresses, which Calico's IPAM allocates to pods. It contains of the
// allocations only which nodes have pods with addresses of the block, because a cluster has at least
// one block for each node, and an object of about 10 KB changes whenever a pod starts or stops. A
// decoded document with 64 pods takes 65 KB of memory, an IPAMBlock about 400 bytes, and 40 bytes for
// each of Borrowed. All other fields are in Spec.
//
// Nodes allocate addresses for their own tunnels, and Calico allocates addresses of Services of the
// type LoadBalancer: these are no addresses of pods.
type IPAMBlock struct {
	Name string
	// CIDR is the block, with its host bits masked.
	CIDR netip.Prefix
	// Node is the node to which the block is affine, "" for none. It advertises the block
	// (confd/pkg/backends/calico/client.go).
	Node string
	// Own means that at least one address of the block is allocated to a pod on Node, or to an
	// owner whose node the block does not name.
	Own bool
	// Borrowed are the addresses of pods on other nodes than Node, in order. Each of these nodes
	// advertises them as routes to single addresses.
	Borrowed []Borrowed

	spec string // as JSON, without the fields in perPod
}

// Borrowed is an address of a pod on a node that is not the node of its block.
type Borrowed struct {
	Node    string
	Address netip.Addr
}

// Pods reports whether pods have addresses of the block.
func (b *IPAMBlock) Pods() bool { return b.Own || len(b.Borrowed) > 0 }

// perPod are the fields of an IPAMBlock's spec that change when pods start and stop.
var perPod = []string{"allocations", "attributes", "unallocated", "sequenceNumber", "sequenceNumberForAllocation"}

// Spec returns the block's spec as it was sent, without the fields that change when pods start and
// stop: allocations, attributes, unallocated and the sequence numbers. The map belongs to the
// caller. O(fields).
func (b *IPAMBlock) Spec() map[string]any {
	var out map[string]any
	_ = k8sjson.UnmarshalCaseSensitivePreserveInts([]byte(b.spec), &out) // decodeIPAMBlock encoded it.
	return out
}

// ID returns the block's kind and name.
func (b *IPAMBlock) ID() ID { return ID{KindIPAMBlock, b.Name} }

// Problems returns nil: only Calico's IPAM writes blocks.
func (b *IPAMBlock) Problems() []Problem { return nil }

func (b *IPAMBlock) equal(c *IPAMBlock) bool {
	return b.Name == c.Name && b.CIDR == c.CIDR && b.Node == c.Node && b.Own == c.Own && b.spec == c.spec && slices.Equal(b.Borrowed, c.Borrowed)
}

// manifest returns a document that an API server accepts and that decodes to an equal block:
// all fields that the CRD requires, the allocations in Borrowed, and one more if Own is set.
func (b *IPAMBlock) manifest() map[string]any {
	allocations, attributes := []any{}, []any{}
	own, borrowed := b.Own, b.Borrowed
	add := func(attribute map[string]any) {
		allocations, attributes = append(allocations, int64(len(attributes))), append(attributes, attribute)
	}
	for address := b.CIDR.Addr(); len(borrowed) > 0 && b.CIDR.Contains(address); address = address.Next() {
		switch {
		case borrowed[0].Address == address:
			add(map[string]any{"secondary": map[string]any{attributeNode: borrowed[0].Node}})
			borrowed = borrowed[1:]
		case own:
			add(map[string]any{})
			own = false
		default:
			allocations = append(allocations, nil)
		}
	}
	if own {
		add(map[string]any{})
	}
	spec := b.Spec()
	spec["allocations"], spec["attributes"], spec["unallocated"] = allocations, attributes, []any{}
	return map[string]any{
		"apiVersion": APIVersionV1, "kind": string(KindIPAMBlock), "metadata": withTexts(map[string]any{"name": b.Name}, nil, nil), "spec": spec,
	}
}

func decodeIPAMBlock(v map[string]any) (Object, error) {
	root := &fields{values: v}
	meta, spec := root.object("metadata"), root.object("spec")
	b := &IPAMBlock{Name: strings.Clone(meta.text("name"))}
	if root.err == nil && meta.err == nil && b.Name == "" {
		meta.fail("name", "is missing")
	}
	if cidr := spec.text("cidr"); spec.err == nil {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			spec.fail("cidr", "must be a CIDR, is %q", cidr)
		}
		b.CIDR = prefix.Masked()
	}
	allocations, attributes := get[[]any](spec, "allocations", "a list"), get[[]any](spec, "attributes", "a list")
	// "deleted" marks an empty block that is about to be deleted. The affinity of a block
	// for LoadBalancer addresses is "virtual:load-balancer", that of other blocks "host:" and a
	// name (api/pkg/apis/projectcalico/v3/ipamblocks.go).
	affinity := spec.text("affinity")
	if node, ok := strings.CutPrefix(affinity, affinityNode); ok {
		b.Node = node
	}
	if !spec.flag("deleted") && !strings.HasPrefix(affinity, "virtual:") && spec.err == nil {
		b.findPods(allocations, attributes)
	}
	for _, err := range []*FieldError{root.err, meta.err, spec.err} {
		if err != nil {
			return nil, err
		}
	}
	rest := maps.Clone(spec.values)
	for _, field := range perPod {
		delete(rest, field)
	}
	if rest["strictAffinity"] == nil {
		rest["strictAffinity"] = false // Its CRD requires it.
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return nil, &FieldError{"spec", err.Error()}
	}
	b.spec = string(text)
	b.Node = within(b.spec, b.Node)
	return b, nil
}

// findPods sets Own and Borrowed. Entry i of allocations is null if address i of the block is free, or
// else the index of its owner in attributes (libcalico-go/lib/backend/model/block.go).
func (b *IPAMBlock) findPods(allocations, attributes []any) {
	names := map[string]string{}
	address := b.CIDR.Addr()
	for i, entry := range allocations {
		if i > 0 {
			address = address.Next()
		}
		if entry == nil {
			continue
		}
		var owner any
		if at, ok := integer(entry); ok && at >= 0 && at < int64(len(attributes)) {
			owner = attributes[at]
		}
		if ofNode(owner) {
			continue
		}
		node := podNode(owner)
		if node == "" || node == b.Node || !b.CIDR.Contains(address) {
			b.Own = true
			continue
		}
		if names[node] == "" {
			names[node] = strings.Clone(node)
		}
		b.Borrowed = append(b.Borrowed, Borrowed{names[node], address})
	}
}

// within returns a copy of part that needs no memory of its own if text contains it.
func within(text, part string) string {
	if i := strings.Index(text, part); i >= 0 {
		return text[i : i+len(part)]
	}
	return strings.Clone(part)
}

// attributeNode is the attribute with the node of the pod that owns an address
// (libcalico-go/lib/backend/model/block.go).
const attributeNode = "node"

// affinityNode is the start of the affinity of a block to a node.
const affinityNode = "host:"

// podNode returns the name of the node of an owner, "" if it does not name one.
func podNode(attribute any) string {
	owner, _ := attribute.(map[string]any)
	secondary, _ := owner["secondary"].(map[string]any)
	node, _ := secondary[attributeNode].(string)
	return node
}

// ofNode reports whether the owner of an address is a node: the address of a tunnel of
// Calico, or one of those that a Windows node reserves in each of its blocks
// (node/pkg/allocateip/allocateip.go, libcalico-go/lib/ipam/ipam_block.go).
func ofNode(attribute any) bool {
	owner, _ := attribute.(map[string]any)
	handle, _ := owner["handle_id"].(string)
	secondary, _ := owner["secondary"].(map[string]any)
	use, _ := secondary["type"].(string)
	return strings.HasSuffix(use, "TunnelAddress") || strings.EqualFold(handle, "windows-reserved-ipam-handle")
}
