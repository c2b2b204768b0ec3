package calico

import (
	"encoding/json"
	"maps"
	"net/netip"
	"strings"

	k8sjson "sigs.k8s.io/json"
)

// IPAMBlock is a block of addresses, which Calico's IPAM allocates to pods. It contains of the
// allocations only whether pods have any, because a cluster has at least one block for each node,
// and an object of about 10 KB changes whenever a pod starts or stops. A decoded document with 64
// pods takes 65 KB of memory, an IPAMBlock about 350 bytes. All other fields are in Spec.
type IPAMBlock struct {
	Name string
	// CIDR is the block, with its host bits masked.
	CIDR netip.Prefix
	// Pods means that at least one address of the block is allocated to a pod, or to an
	// owner that the block does not name. Nodes allocate addresses for their own tunnels,
	// and Calico allocates addresses of Services of the type LoadBalancer: these do not
	// count.
	Pods bool

	spec string // as JSON, without the fields in perPod
}

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

func (b *IPAMBlock) equal(c *IPAMBlock) bool { return *b == *c }

// manifest returns a document that an API server accepts and that decodes to an equal block:
// all fields that the CRD requires, and one allocation if the block has any.
func (b *IPAMBlock) manifest() map[string]any {
	allocations, attributes := []any{}, []any{}
	if b.Pods {
		allocations, attributes = []any{int64(0)}, []any{map[string]any{}}
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
	// for LoadBalancer addresses is "virtual:load-balancer"
	// (api/pkg/apis/projectcalico/v3/ipamblocks.go).
	if !spec.flag("deleted") && !strings.HasPrefix(spec.text("affinity"), "virtual:") {
		b.Pods = hasPods(allocations, attributes)
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
	return b, nil
}

// hasPods reports whether a block has an address that no node reserves for itself. Each entry
// of allocations is null for a free address, or the index of the owner in attributes.
func hasPods(allocations, attributes []any) bool {
	for _, entry := range allocations {
		if entry == nil {
			continue
		}
		i, ok := integer(entry)
		if !ok || i < 0 || i >= int64(len(attributes)) || !ofNode(attributes[i]) {
			return true
		}
	}
	return false
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
