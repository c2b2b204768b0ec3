package reserve

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Reservation is a change that was allowed.
type Reservation struct {
	// Kind and Name identify the changed object.
	Kind calico.Kind `json:"kind"`
	Name string      `json:"name"`
	// Operation is the operation of the change.
	Operation state.Operation `json:"operation"`
	// Version is the version of the object that the change replaces or deletes, 0 if it is
	// not known. For a create it is a version that is older than the created object.
	Version uint64 `json:"version"`
	// Object is the object after the change with only the fields that decide BGP. It is
	// empty for a delete.
	Object json.RawMessage `json:"object,omitempty"`
	// Joins reports that the change adds a node to BGP; see calico.Joins.
	Joins bool `json:"joins,omitempty"`
	// User made the change, by a request to the API group Group.
	User  string `json:"user"`
	Group string `json:"group"`
	// Replica reserved the change at Time.
	Replica string    `json:"replica"`
	Time    time.Time `json:"time"`
	// Settled is the version of the event that settled it at the replica that wrote the
	// record, 0 if it was open there.
	Settled uint64 `json:"settled,omitempty"`

	after calico.Object
}

// New returns the reservation of a change. version is the resourceVersion of the object
// before the change, "" for a create.
func New(c state.Change, version, user, group string) (*Reservation, error) {
	id := c.ID()
	r := &Reservation{Kind: id.Kind, Name: id.Name, Operation: operation(c, version), Version: number(version), User: user, Group: group, after: c.After}
	r.Joins = (r.Operation != state.Create) == (c.Before != nil) && calico.Joins(c.Before, c.After)
	if c.After == nil {
		return r, nil
	}
	var err error
	r.Object, err = json.Marshal(reduced(c.After))
	if err == nil && len(r.Object) > maxObject {
		err = fmt.Errorf("the fields of %s that decide BGP have %d bytes, and at most %d bytes can be reserved", id, len(r.Object), maxObject)
	}
	return r, err
}

// operation returns the operation of a change. A change without an object before is an
// update if version is known: the object before does not decode.
func operation(c state.Change, version string) state.Operation {
	if op := c.Operation(); op != state.Create || version == "" {
		return op
	}
	return state.Update
}

// ID returns the kind and name of the changed object.
func (r *Reservation) ID() calico.ID { return calico.ID{Kind: r.Kind, Name: r.Name} }

// After returns the object after the change, nil for a delete.
func (r *Reservation) After() calico.Object { return r.after }

// decode reads the object of a reservation that comes from the record. It returns a panic as
// an error: otherwise an object that causes one would end each process that reads the record.
func (r *Reservation) decode() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the reservation of %s: decoding it panicked: %v", r.ID(), p)
		}
	}()
	if len(r.Object) == 0 {
		if r.Operation != state.Delete {
			return fmt.Errorf("the reservation of %s has no object", r.ID())
		}
		return nil
	}
	after, err := calico.DecodeJSON(r.Object)
	if err != nil {
		return fmt.Errorf("the reservation of %s: %w", r.ID(), err)
	}
	if after.ID() != r.ID() {
		return fmt.Errorf("the reservation of %s holds %s", r.ID(), after.ID())
	}
	r.after = after
	return nil
}

// key identifies a reservation: the same change of the same version is the same reservation.
type key struct {
	id        calico.ID
	operation state.Operation
	version   uint64
	object    [sha256.Size]byte
}

func (r *Reservation) key() key {
	k := key{id: r.ID(), operation: r.Operation, object: sha256.Sum256(r.Object)}
	if r.Operation != state.Create {
		k.version = r.Version
	}
	return k
}

// same reports whether r is a reservation of c, whatever the API group and the version.
func (r *Reservation) same(c state.Change) bool {
	return r.ID() == c.ID() && (r.Operation == state.Create) == (c.Before == nil) && calico.Equal(r.after, c.After)
}

// number returns a resourceVersion as a number, 0 if it is none.
func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// reduced returns an object with only the fields that decide BGP. Of a Node, most bytes are
// about images and addresses that do not.
func reduced(o calico.Object) map[string]any {
	sent := calico.Manifest(o)
	meta, _ := sent["metadata"].(map[string]any)
	kept := map[string]any{}
	for _, name := range []string{"name", "labels", "annotations", "deletionTimestamp"} {
		if value, ok := meta[name]; ok {
			kept[name] = value
		}
	}
	out := map[string]any{"apiVersion": sent["apiVersion"], "kind": sent["kind"], "metadata": kept}
	if o.ID().Kind != calico.KindNode {
		out["spec"] = sent["spec"]
		return out
	}
	if annotations, ok := kept["annotations"].(map[string]any); ok {
		annotations = maps.Clone(annotations)
		maps.DeleteFunc(annotations, func(name string, value any) bool {
			text, _ := value.(string)
			return !calico.DecidesBGP(name, text)
		})
		kept["annotations"] = annotations
	}
	status, _ := sent["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, condition := range conditions {
		if c, ok := condition.(map[string]any); ok && c["type"] == "Ready" {
			out["status"] = map[string]any{"conditions": []any{map[string]any{"type": c["type"], "status": c["status"]}}}
		}
	}
	return out
}
