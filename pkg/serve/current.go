package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const (
	// auditLimit bounds one audit. Even at 10,000 nodes it takes less than a tenth.
	auditLimit = 30 * time.Second
	// reuse is how long an audit is reused while neither the state nor the policies
	// change. The health of the nodes depends on the time.
	reuse = 30 * time.Second
	// staleAfter is the age of the state above which the page reports that it is stale. An API server
	// sends something about once a minute.
	staleAfter = 2 * time.Minute
)

// followed is a state that changes: that of a cluster, or of files.
type followed interface {
	// Read returns the current state. It returns the same snapshot while the state does not
	// change.
	Read() (reading, error)
}

// reading is a state that was read.
type reading struct {
	snapshot *state.Snapshot
	// notes name the parts of the state that are not known.
	notes []string
	// read is the reference time for the age of CalicoNodeStatuses; zero means now.
	read time.Time
	// stale is the age of the state if it may not be the current one, else zero.
	stale time.Duration
}

// clusterState is the state of a cluster.
type clusterState struct {
	store interface { // *cluster.Store
		Snapshot() (*state.Snapshot, time.Duration, error)
		Unread() []cluster.Unread
	}
}

// Read implements followed.
func (c *clusterState) Read() (reading, error) {
	snapshot, age, err := c.store.Snapshot()
	if err != nil {
		return reading{}, err
	}
	r := reading{snapshot: snapshot}
	if age > staleAfter {
		r.stale = age
	}
	for _, u := range c.store.Unread() {
		r.notes = append(r.notes, u.String())
	}
	return r, nil
}

// current audits a state when a user requests the page.
type current struct {
	name   string // of the cluster, "" for files
	origin string // what the state is read from, in errors
	state  followed
	keeper *enforce.Keeper
	// given is true if the policies of keeper are from files.
	given bool
	// objects checks that the BGPPolicies of a cluster were read; nil where there are none to
	// read. library checks that the library is complete.
	objects, library healthz.Checker
	// trail reads what the webhook's leader recorded; nil for files.
	trail func(context.Context) (*audit.Trail, error)

	engine *validate.Engine
	now    func() time.Time

	mu    sync.Mutex // held during an audit
	audit *audit.Audit
	// policies and outcomes are those of audit.
	policies *policy.Set
	outcomes []enforce.Outcome
	defaults defaults
}

// defaults is a library's policies with their default parameters.
type defaults struct {
	library *policy.Library
	set     *policy.Set
}

// newCurrent returns the current audit of the state of origin. given holds the policies to evaluate; nil
// means those that are loaded into the keeper of the result.
func newCurrent(origin string, s followed, given *enforce.Keeper, sources *enforce.Sources, log logr.Logger) *current {
	c := &current{
		origin: origin, state: s, keeper: given, given: given != nil, library: sources.Check,
		engine: validate.NewEngine(policy.NewSet(nil)), now: time.Now,
	}
	if given == nil {
		c.keeper = enforce.NewKeeper(sources.Library(), log.WithName("policies"))
	}
	return c
}

// Check is a healthz.Checker: it fails until the policies and the state are known.
func (c *current) Check(r *http.Request) error {
	for _, check := range []healthz.Checker{c.checkPolicies, c.library} {
		if err := check(r); err != nil {
			return err
		}
	}
	_, err := c.state.Read()
	return err
}

// checkPolicies is a healthz.Checker: it fails until the BGPPolicies were read. It
// succeeds in a cluster that does not serve them.
func (c *current) checkPolicies(r *http.Request) error {
	if c.objects == nil {
		return nil // Files of policies are read before the process starts.
	}
	if err := c.objects(r); !errors.Is(err, enforce.ErrNotServed) {
		return err
	}
	return nil
}

// Audit returns the audit of the current state, with what the webhook's leader recorded
// about its violations. The caller must not change it. An error means that the state or the
// policies are not known yet.
func (c *current) Audit(ctx context.Context) (*audit.Audit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, check := range []healthz.Checker{c.checkPolicies, c.library} {
		if err := check(nil); err != nil {
			return nil, err
		}
	}
	read, err := c.state.Read()
	if err != nil {
		return nil, err
	}
	now, outcomes := c.now(), c.keeper.Outcomes()
	set, notes, err := c.inForce(outcomes)
	if err != nil {
		return nil, err
	}
	if c.audit != nil && c.audit.Snapshot == read.snapshot && (c.audit.Stale > 0) == (read.stale > 0) && c.policies == set && sameSlice(c.outcomes, outcomes) && now.Sub(c.audit.Time) < reuse {
		return c.audit, nil
	}
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	if c.engine.Policies() != set {
		c.engine.SetPolicies(set)
	}
	found, err := audit.Run(ctx, c.engine, read.snapshot, audit.Options{
		Cluster: c.name, Time: now, Read: read.read, Stale: read.stale, Notes: append(notes, read.notes...),
	})
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			found.AddFailures(audit.Failure{Policy: o.Name, Message: rejected(&o)})
		}
	}
	if c.trail != nil {
		trail, err := c.trail(ctx)
		if err != nil {
			found.Notes = append(found.Notes, "when and how violations appeared is not known: "+err.Error())
		}
		trail.Recall(found)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // The audit is not complete.
	}
	c.audit, c.policies, c.outcomes = found, set, outcomes
	return found, nil
}

// sameSlice reports whether a and b are one slice: the keeper makes a new one for
// each change.
func sameSlice(a, b []enforce.Outcome) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// rejected returns the reason why a BGPPolicy, or its current version, is not evaluated.
func rejected(o *enforce.Outcome) string {
	if o.Policy != nil {
		return fmt.Sprintf("generation %d is rejected, generation %d was evaluated instead: %v", o.Generation, o.Enforced, o.Err)
	}
	return fmt.Sprintf("rejected and not evaluated: %v", o.Err)
}

// inForce returns the policies to evaluate: those of the BGPPolicies. If there is none, it
// returns the policies of the library with their defaults and, for a cluster, a note that
// reports this.
func (c *current) inForce(outcomes []enforce.Outcome) (set *policy.Set, notes []string, err error) {
	if c.given || len(outcomes) > 0 {
		return c.keeper.Set(), nil, nil
	}
	if c.objects != nil {
		why := "the cluster has no BGPPolicy"
		if err := c.objects(nil); err != nil {
			why = enforce.ErrNotServed.Error()
		}
		notes = []string{why + ": all policies of the library were evaluated with their defaults"}
	}
	if library := c.keeper.Library(); c.defaults.library != library {
		var documents []policy.Document
		for _, d := range library.Definitions() {
			documents = append(documents, policy.Default(d))
		}
		set, err := library.Compile(documents)
		if err != nil {
			return nil, nil, err
		}
		c.defaults = defaults{library, set}
	}
	return c.defaults.set, notes, nil
}
