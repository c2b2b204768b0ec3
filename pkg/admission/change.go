package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// change is the change that a request asks for.
type change struct {
	state.Change
	// notes are for the user, about parts of the request that were not evaluated.
	notes []string
}

// nothing reports whether the change does not touch the state.
func (c change) nothing() bool { return c.Before == nil && c.After == nil }

// invalid is the reason why a request cannot be evaluated.
type invalid struct {
	code    int32
	message string
}

// readChange reads the change that a request asks for. Where the request does not hold
// the object before the change, it is taken from the snapshot.
func readChange(req *admission.Request, snapshot *state.Snapshot) (change, *invalid) {
	var c change
	switch req.Operation {
	case admissionv1.Create, admissionv1.Update, admissionv1.Delete:
		if version := req.Kind.Group + "/" + req.Kind.Version; snapshot.Stale(version) {
			c.notes = append(c.notes, fmt.Sprintf("Calico has moved its objects from %s to %s, so the change has no effect and is not evaluated", version, snapshot.APIVersion()))
			return c, nil
		}
	case "":
		return c, &invalid{http.StatusBadRequest, "the body is not an AdmissionReview with a request"}
	default:
		return c, &invalid{http.StatusBadRequest, fmt.Sprintf("operation %q is not supported; use CREATE, UPDATE or DELETE", req.Operation)}
	}
	id := calico.ID{Kind: calico.Kind(req.Kind.Kind), Name: req.Name}
	switch {
	case req.Operation == admissionv1.Create:
	case len(req.OldObject.Raw) == 0:
		c.Before = snapshot.Get(id)
	default:
		before, err := calico.DecodeStoredJSON(req.OldObject.Raw)
		if unknown := (*calico.UnknownKindError)(nil); errors.As(err, &unknown) {
			return c, unreadable(req, err)
		}
		if err != nil { // Not a reason to reject the request, which may fix the object.
			before = calico.NewUnparsed(id, err)
		}
		c.Before = before
	}
	if req.Operation != admissionv1.Delete {
		after, err := calico.DecodeStoredJSON(req.Object.Raw)
		if err != nil {
			if deleting(req.Object.Raw) {
				c.notes = append(c.notes, fmt.Sprintf("%s does not parse and is being deleted, so the change is not evaluated: %v", describe(req), err))
				return change{notes: c.notes}, nil
			}
			return c, unreadable(req, err)
		}
		if odd := calico.NewlyOdd(c.Before, after); odd != nil && !deleting(req.Object.Raw) {
			return c, unreadable(req, odd)
		}
		c.After = after
	}
	c.notes = append(c.notes, unparsedNotes(req, c.Change)...)
	return c, nil
}

// unparsedNotes returns notes on the parts of the object before and after a change that do not
// parse.
func unparsedNotes(req *admission.Request, c state.Change) []string {
	u, unparsed := c.Before.(*calico.Unparsed)
	switch odd := calico.Odd(c.After); {
	case len(odd) > 0:
		return []string{fmt.Sprintf("%s has a value that Calico cannot decode, as before the change: %v", describe(req), &odd[0])}
	case unparsed && !u.Skipped() && validate.Essential(u.ID()):
		return []string{fmt.Sprintf("%s before the change does not parse, so only the state after the change is evaluated: %s", describe(req), u.Message)}
	case unparsed:
		return []string{fmt.Sprintf("%s before the change does not parse and is ignored: %s", describe(req), u.Message)}
	default:
		return nil
	}
}

// maxUnread bounds the objects that a warning names.
const maxUnread = 5

// ignored returns a warning that names the objects of the snapshot that do not parse and that
// a decision about another object ignores, nil if there are none. Where a policy depends on
// one of them, the policy fails instead.
func ignored(snapshot *state.Snapshot, changed calico.ID) []string {
	count := 0
	var names []string
	for _, u := range snapshot.Unread() {
		if u.ID() == changed || validate.Essential(u.ID()) && !u.Skipped() {
			continue
		}
		count++
		if len(names) < maxUnread {
			names = append(names, u.String())
		}
	}
	if count == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the decision ignores %s that %s not parse: %s; fix or delete %s", text.Count(count, "object"),
		text.Either(count, "does", "do"), text.SomeOf(names, count), text.Either(count, "it", "them"))}
}

func unreadable(req *admission.Request, err error) *invalid {
	if field := (*calico.FieldError)(nil); errors.As(err, &field) {
		return &invalid{http.StatusUnprocessableEntity, fmt.Sprintf("%s does not parse: %v", describe(req), err)}
	}
	if unknown := (*calico.UnknownKindError)(nil); errors.As(err, &unknown) {
		return &invalid{http.StatusBadRequest, err.Error()}
	}
	return &invalid{http.StatusBadRequest, fmt.Sprintf("%s is not a JSON object: %v", describe(req), err)}
}

// deleting reports whether an object is being deleted and waits for its finalizers.
// Denying their removal would keep it forever.
func deleting(raw []byte) bool {
	var object struct {
		Metadata struct {
			DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
		} `json:"metadata"`
	}
	return json.Unmarshal(raw, &object) == nil && object.Metadata.DeletionTimestamp != nil
}

// describe returns "Kind name", or "Kind" if the request has no name.
func describe(req *admission.Request) string {
	if req.Name == "" {
		return req.Kind.Kind
	}
	return req.Kind.Kind + " " + req.Name
}
