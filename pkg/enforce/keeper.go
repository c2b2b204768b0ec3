// Package enforce keeps the policies in force in step with their documents,
// which are files or the BGPPolicies of a cluster, and tells of each what became
// of it.
package enforce

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// testLimit is how long a policy's own tests may take: less than a user waits
// for the answer to an apply, and than a change may take to be in force.
const testLimit = 2 * time.Second

// Outcome is what became of a document.
type Outcome struct {
	Name string
	// UID tells a BGPPolicy from another one that had its name before.
	UID types.UID
	// Generation is the one that was seen last.
	Generation int64
	// Enforced is the generation that changes are judged by. It is older than
	// Generation where that one cannot be used.
	Enforced int64
	// Policy is what changes are judged by, nil for nothing.
	Policy *policy.Policy
	// Err is why Generation cannot be used.
	Err error
}

// Keeper holds the policies in force. What did not change is not compiled again,
// what cannot be used leaves what was in force before, and no policy's error
// reaches another. It is safe for concurrent use.
type Keeper struct {
	log logr.Logger
	use func(*policy.Set)

	set      atomic.Pointer[policy.Set]
	library  atomic.Pointer[policy.Library]
	outcomes atomic.Pointer[[]Outcome]

	mu        sync.Mutex // held while documents are compiled
	documents []policy.Document
	entries   map[string]entry
}

// entry is a document as it was checked last, and what became of it.
type entry struct {
	Outcome
	document policy.Document
	library  *policy.Library
}

// NewKeeper returns a keeper without documents. use is called with each new set
// before the keeper takes the next change; it must be quick.
func NewKeeper(library *policy.Library, log logr.Logger, use func(*policy.Set)) *Keeper {
	k := &Keeper{log: log, use: use}
	k.library.Store(library)
	k.set.Store(policy.NewSet(nil))
	k.outcomes.Store(&[]Outcome{})
	return k
}

// Set returns the policies in force.
func (k *Keeper) Set() *policy.Set { return k.set.Load() }

// Outcomes returns what became of each document, in the order of their names.
// The slice must not be changed.
func (k *Keeper) Outcomes() []Outcome { return *k.outcomes.Load() }

// Check checks a document as the keeper would, and changes nothing.
func (k *Keeper) Check(ctx context.Context, d *policy.Document) (*policy.Policy, error) {
	return k.library.Load().Check(ctx, d, testLimit)
}

// SetLibrary has documents name the policies of another library. A document
// that cannot be used with it keeps the policy that it has.
func (k *Keeper) SetLibrary(library *policy.Library) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.library.Store(library)
	k.update(k.documents)
}

// SetDocuments replaces the documents, whose names must differ. One that cannot
// be used keeps the policy that it had before; one that is gone has none.
func (k *Keeper) SetDocuments(documents []policy.Document) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.update(documents)
}

// SetAll is SetDocuments where all of them can be used, and otherwise an error
// that changes nothing.
func (k *Keeper) SetAll(documents []policy.Document) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	entries := map[string]entry{}
	var errs []error
	for _, d := range documents {
		e := k.check(d)
		entries[d.Name] = e
		errs = append(errs, e.Err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	k.documents, k.entries = documents, entries
	k.publish()
	return nil
}

// update checks what changed and puts it in force: first, in one step, all that
// only has to be looked up in the library, then, one by one, what has tests to
// run, so that slow ones hold up nothing but themselves.
func (k *Keeper) update(documents []policy.Document) {
	before := k.entries
	k.documents, k.entries = documents, map[string]entry{}
	var own []policy.Document
	for _, d := range documents {
		old, known := before[d.Name]
		switch {
		case known && old.holdsFor(d, k.library.Load()):
			k.entries[d.Name] = old.again(d)
		case d.Spec.Rego != nil:
			own = append(own, d)
			if known && old.UID == d.UID { // In force until the new one is.
				k.entries[d.Name] = old
			}
		default:
			k.entries[d.Name] = k.checkAfter(d, old)
		}
	}
	k.publish()
	for _, d := range own {
		k.entries[d.Name] = k.checkAfter(d, before[d.Name])
		k.publish()
	}
}

// holdsFor reports whether what became of the entry's document is what would
// become of d.
func (e *entry) holdsFor(d policy.Document, library *policy.Library) bool {
	if e.UID != d.UID || !reflect.DeepEqual(e.document.Spec, d.Spec) {
		return false
	}
	if slow, ok := errors.AsType[*policy.LimitError](e.Err); ok {
		return slow.Running() // Else the machine was perhaps busy.
	}
	if d.Spec.Rego != nil || e.library == library {
		return true
	}
	return e.Err == nil && e.Policy.Definition == library.Definition(d.Spec.Policy)
}

// again returns the entry for a document that says the same.
func (e *entry) again(d policy.Document) entry {
	next := *e
	next.document, next.Generation = d, d.Generation
	if e.Err == nil {
		next.Enforced = d.Generation
	}
	return next
}

// check checks a document for itself.
func (k *Keeper) check(d policy.Document) entry {
	e := entry{Outcome: Outcome{Name: d.Name, UID: d.UID, Generation: d.Generation}, document: d, library: k.library.Load()}
	if e.Policy, e.Err = k.Check(context.Background(), &d); e.Err == nil {
		e.Enforced = d.Generation
	}
	return e
}

// checkAfter is check, with what the document before has left in force where
// this one cannot be used.
func (k *Keeper) checkAfter(d policy.Document, old entry) entry {
	e := k.check(d)
	if e.Err == nil {
		return e
	}
	if old.UID == d.UID {
		e.Policy, e.Enforced = old.Policy, old.Enforced
	}
	if old.Err == nil || old.Err.Error() != e.Err.Error() || old.Generation != e.Generation {
		reloadFailures.Inc()
		text := "Cannot use a BGPPolicy, so it is not enforced"
		if e.Policy != nil {
			text = "Cannot use a changed BGPPolicy, what was enforced before stays"
		}
		k.log.Error(e.Err, text, "policy", d.Name, "generation", d.Generation, "enforced", e.Enforced)
	}
	return e
}

// publish hands over the set that the entries make, where it is another one.
func (k *Keeper) publish() {
	outcomes := make([]Outcome, 0, len(k.entries))
	var policies []*policy.Policy
	for _, e := range k.entries {
		outcomes = append(outcomes, e.Outcome)
		if e.Policy != nil {
			policies = append(policies, e.Policy)
		}
	}
	slices.SortFunc(outcomes, func(a, b Outcome) int { return strings.Compare(a.Name, b.Name) })
	k.outcomes.Store(&outcomes)
	countUnusable(outcomes)
	set := policy.NewSet(policies)
	if slices.Equal(set.Policies(), k.Set().Policies()) {
		return
	}
	k.set.Store(set)
	k.use(set)
	policiesLoaded.Set(float64(len(policies)))
	k.log.Info("Policies changed", "policies", set.Names())
}
