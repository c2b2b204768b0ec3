// Package enforce updates the policies in force when their sources change: the library
// from directories and OPA bundles, the BGPPolicies from files or from a cluster. It
// writes the status of a cluster's BGPPolicies.
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

// testLimit bounds the run of a policy's own tests: a user waits for it at an
// apply, and a change is not in force before it ends.
const testLimit = 2 * time.Second

// Outcome is the result of loading a BGPPolicy.
type Outcome struct {
	Name string
	// UID distinguishes a BGPPolicy from an earlier one of the same name.
	UID types.UID
	// Generation is the generation that was seen last.
	Generation int64
	// Enforced is the generation that is in force, 0 for none. It is lower than Generation
	// if Generation is rejected.
	Enforced int64
	// Policy is the policy that is in force, nil for none.
	Policy *policy.Policy
	// Err is the reason why Generation is rejected, nil if it is valid.
	Err error
}

// Keeper holds the policies in force. It compiles only what changed. A rejected
// version of a policy leaves the last valid one in force, and affects no other
// policy. It is safe for concurrent use.
type Keeper struct {
	log      logr.Logger
	onChange func(*policy.Set)
	rego     Check // of documents with Rego, nil for Library.Check

	set      atomic.Pointer[policy.Set]
	library  atomic.Pointer[policy.Library]
	outcomes atomic.Pointer[[]Outcome]

	mu        sync.Mutex // held while documents are compiled
	documents []policy.Document
	entries   map[string]entry
}

// entry is the last checked version of a document and its outcome.
type entry struct {
	Outcome
	document policy.Document
	library  *policy.Library
}

// Check compiles a document, and runs its tests for at most limit, with the policies of a
// library that it can name.
type Check func(ctx context.Context, library *policy.Library, d *policy.Document, limit time.Duration) (*policy.Policy, error)

// NewKeeper returns a keeper without documents.
func NewKeeper(library *policy.Library, log logr.Logger) *Keeper {
	k := &Keeper{log: log, onChange: func(*policy.Set) {}}
	k.library.Store(library)
	k.set.Store(policy.NewSet(nil))
	k.outcomes.Store(&[]Outcome{})
	return k
}

// OnChange sets the function that is called with each new set, before the keeper
// processes the next change. It must be fast. Call OnChange before the first
// document is set.
func (k *Keeper) OnChange(f func(*policy.Set)) { k.onChange = f }

// SetCheck sets how documents with Rego of their own are checked; the default is
// Library.Check. It must be called before the first document is set.
func (k *Keeper) SetCheck(check Check) { k.rego = check }

// Set returns the policies in force.
func (k *Keeper) Set() *policy.Set { return k.set.Load() }

// Library returns the policies that documents can name.
func (k *Keeper) Library() *policy.Library { return k.library.Load() }

// Outcomes returns the outcome of each document, sorted by name. The caller must
// not change the slice.
func (k *Keeper) Outcomes() []Outcome { return *k.outcomes.Load() }

// Check returns the policy of a document, or the error with which the keeper
// would reject the document. It changes nothing.
func (k *Keeper) Check(ctx context.Context, d *policy.Document) (*policy.Policy, error) {
	if d.Spec.Rego != nil && k.rego != nil {
		return k.rego(ctx, k.Library(), d, testLimit)
	}
	return k.Library().Check(ctx, d, testLimit)
}

// SetLibrary replaces the policies that documents can name. A document that is
// rejected with the new library keeps the policy that it has.
func (k *Keeper) SetLibrary(library *policy.Library) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.library.Store(library)
	k.update(k.documents)
}

// SetDocuments replaces the documents, whose names must differ. A rejected document keeps
// its last valid policy. The policy of a document that is no longer in the list is no
// longer in force.
func (k *Keeper) SetDocuments(documents []policy.Document) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.update(documents)
}

// SetAll replaces the documents if all of them are valid. Otherwise it returns
// an error and changes nothing.
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

// update checks what changed and publishes it: first, in one step, all documents
// that only name a policy of the library; then, one by one, those with tests to
// run, so that slow tests delay only their own policy.
func (k *Keeper) update(documents []policy.Document) {
	before := k.entries
	k.documents, k.entries = documents, map[string]entry{}
	var own []policy.Document
	for _, d := range documents {
		old, known := before[d.Name]
		switch {
		case known && old.covers(d, k.Library()):
			k.entries[d.Name] = old.withGeneration(d)
		case d.Spec.Rego != nil:
			own = append(own, d)
			if known && old.UID == d.UID { // The old policy stays in force until the new one is.
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

// covers reports whether checking d would give the outcome of the entry.
func (e *entry) covers(d policy.Document, library *policy.Library) bool {
	if e.UID != d.UID || !reflect.DeepEqual(e.document.Spec, d.Spec) {
		return false
	}
	// A check whose failure may be due to the machine is repeated, unless tests still run.
	if slow, ok := errors.AsType[*policy.LimitError](e.Err); ok {
		return slow.Running()
	}
	if errors.Is(e.Err, policy.ErrNotChecked) {
		return false
	}
	if d.Spec.Rego != nil || e.library == library {
		return true
	}
	return e.Err == nil && e.Policy.Definition == library.Definition(d.Spec.Policy)
}

// withGeneration returns the entry of a later generation with the same spec.
func (e *entry) withGeneration(d policy.Document) entry {
	next := *e
	next.document, next.Generation = d, d.Generation
	if e.Err == nil {
		next.Enforced = d.Generation
	}
	return next
}

// check checks a document without regard to an earlier version.
func (k *Keeper) check(d policy.Document) entry {
	e := entry{Outcome: Outcome{Name: d.Name, UID: d.UID, Generation: d.Generation}, document: d, library: k.Library()}
	if e.Policy, e.Err = k.Check(context.Background(), &d); e.Err == nil {
		e.Enforced = d.Generation
	}
	return e
}

// checkAfter checks a document. If it is rejected, the policy of its earlier version stays
// in force.
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
		text := "A BGPPolicy is rejected and not enforced"
		if e.Policy != nil {
			text = "A changed BGPPolicy is rejected, the last valid version stays in force"
		}
		k.log.Error(e.Err, text, "policy", d.Name, "generation", d.Generation, "enforced", e.Enforced)
	}
	return e
}

// publish stores the outcomes, and the set of policies if it changed.
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
	quarantined.outcomes.Store(&outcomes)
	set := policy.NewSet(policies)
	if slices.Equal(set.Policies(), k.Set().Policies()) {
		return
	}
	k.set.Store(set)
	k.onChange(set)
	policiesLoaded.Set(float64(len(policies)))
	k.log.Info("Policies changed", "policies", set.Names())
}
