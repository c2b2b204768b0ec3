package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const (
	// auditLimit bounds one audit. Even at 10,000 nodes it takes less than a tenth.
	auditLimit = 30 * time.Second
	// reuse is how long an audit is reused while neither the state nor the policies
	// change. The health of the nodes depends on the time.
	reuse = 10 * time.Second
	// staleAfter is the age of the state above which the page shows the age. An API server
	// sends something about once a minute.
	staleAfter = 2 * time.Minute
)

// followed is the state of the cluster; *cluster.Store implements it.
type followed interface {
	Snapshot() (*state.Snapshot, time.Duration, error)
	Unread() []cluster.Unread
}

// current audits the current state when a user requests the page.
type current struct {
	cluster followed
	keeper  *enforce.Keeper
	// objects checks that the cluster's BGPPolicies were read; nil where files replace
	// them. library checks that the library is complete.
	objects, library healthz.Checker

	engine    *validate.Engine
	reader    client.Reader
	namespace string
	name      string // of the cluster
	log       logr.Logger
	now       func() time.Time

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

func newCurrent(store *cluster.Store, keeper *enforce.Keeper, sources *enforce.Sources, reader client.Reader, o *Options, log logr.Logger) *current {
	return &current{
		cluster: store, keeper: keeper, library: sources.Check, engine: validate.NewEngine(policy.NewSet(nil)), reader: reader,
		namespace: process.Namespace(o.Namespace), name: o.Cluster, log: log, now: time.Now,
	}
}

// checkPolicies is a healthz.Checker: it fails until the BGPPolicies were read. It
// succeeds in a cluster that does not serve them.
func (c *current) checkPolicies(r *http.Request) error {
	if c.objects == nil {
		return nil // Files are read before the process starts.
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
	snapshot, age, err := c.cluster.Snapshot()
	if err != nil {
		return nil, err
	}
	now, outcomes := c.now(), c.keeper.Outcomes()
	set, notes, err := c.inForce(outcomes)
	if err != nil {
		return nil, err
	}
	if c.audit != nil && c.audit.Snapshot == snapshot && c.policies == set && sameSlice(c.outcomes, outcomes) && now.Sub(c.audit.Time) < reuse {
		return c.audit, nil
	}
	if age > staleAfter {
		notes = append(notes, fmt.Sprintf("the state may be stale: the API server sent nothing for %s", age.Round(time.Second)))
	}
	for _, u := range c.cluster.Unread() {
		notes = append(notes, u.String())
	}

	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	if c.engine.Policies() != set {
		c.engine.SetPolicies(set)
	}
	found, err := audit.Run(ctx, c.engine, snapshot, audit.Options{Cluster: c.name, Time: now, Notes: notes})
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			found.AddFailures(audit.Failure{Policy: o.Name, Message: rejected(&o)})
		}
	}
	trail, err := auditor.ReadTrail(ctx, c.reader, c.namespace, c.log)
	if err != nil {
		found.Notes = append(found.Notes, "when and how violations appeared is not known: "+err.Error())
	}
	trail.Recall(found)
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

// inForce returns the policies to evaluate: those of the BGPPolicies. If there is no
// BGPPolicy, it returns the policies of the library with their defaults, and a note that
// reports this.
func (c *current) inForce(outcomes []enforce.Outcome) (set *policy.Set, notes []string, err error) {
	if c.objects == nil || len(outcomes) > 0 {
		return c.keeper.Set(), nil, nil
	}
	why := "the cluster has no BGPPolicy"
	if err := c.objects(nil); err != nil {
		why = enforce.ErrNotServed.Error()
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
	return c.defaults.set, []string{why + ": all policies of the library were evaluated with their defaults"}, nil
}
