package auditor

import (
	"context"
	"sync"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// currentAge is how long an audit that was made for a reader is given to the next one,
// where the state is the same.
const currentAge = 10 * time.Second

// current is the last audit that was made for a reader on a replica that is not the
// elected one.
type current struct {
	mu       sync.Mutex
	audit    *audit.Audit
	policies *policy.Set
}

// Current returns the audit of the state as it is: on the elected replica the last one;
// on any other one that is made now, with what the elected one remembers of it. It
// must not be changed. An error says that the state is not known yet.
func (a *Auditor) Current(ctx context.Context) (*audit.Audit, error) {
	if latest := a.Latest(); latest != nil {
		return latest, nil
	}
	c := &a.current
	c.mu.Lock()
	defer c.mu.Unlock()
	snapshot, _, err := a.cluster.Snapshot()
	if err != nil {
		return nil, err
	}
	set, now := a.engine.Policies(), a.now()
	if c.audit != nil && c.audit.Snapshot == snapshot && c.policies == set && now.Sub(c.audit.Time) < currentAge {
		return c.audit, nil
	}
	ctx, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	found, err := audit.Run(ctx, a.engine, snapshot, audit.Options{Time: now, Notes: a.options.Notes()})
	if err != nil {
		return nil, err
	}
	remembered, err := (&store{reader: a.store.reader, namespace: a.store.namespace, log: a.log}).read(ctx)
	if err != nil {
		found.Notes = append(found.Notes, "since when violations are there, and how they came about, is not known: "+err.Error())
	}
	remembered.Trail.Recall(found)
	if ctx.Err() != nil {
		return nil, ctx.Err() // What was stopped half-way says nothing.
	}
	c.audit, c.policies = found, set
	return found, nil
}
