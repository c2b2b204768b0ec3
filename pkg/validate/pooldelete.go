package validate

import (
	"context"
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// decideDelete decides again about an allowed change that only disables an IPPool, because Calico's
// clients make it before they delete an IPPool: a delete that is denied leaves the IPPool disabled. It is
// denied like the delete if new pods would then get no addresses. If other IPPools give them addresses,
// the change is also what Calico documents for the migration to them, and does no harm. The decision
// then warns. It also says how to enable an IPPool whose delete is denied.
func (e *Engine) decideDelete(ctx context.Context, s *state.Snapshot, r *Request, d *Decision) {
	if p, ok := r.Before.(*calico.IPPool); ok && r.After == nil && p.Disabled && !d.Allowed {
		d.Advice = fmt.Sprintf("IPPool %s stays disabled; %s", p.Name, enable(p))
		return
	}
	if !d.Allowed || !calico.Disables(r.Before, r.After) {
		return
	}
	if _, step := steps(s, r); step {
		return
	}
	deletion := *r
	deletion.After = nil
	denied := e.decide(ctx, s, newRequestSet([]Request{deletion}))
	if denied.Allowed || !denied.Evaluated() {
		return
	}
	p, _ := r.Before.(*calico.IPPool)
	without, nodes := withoutPool(s, p)
	if without == 0 {
		d.Advice = fmt.Sprintf("a delete of IPPool %s would be denied now; if this change is the first step of one, %s", p.Name, enable(p))
		return
	}
	denied.Alters, denied.Advice = d.Alters, fmt.Sprintf(
		"Calico's clients disable an IPPool before they delete it; the delete would be denied, and new pods on %s would get no %s address: create another IPPool first",
		text.SomeOf(nodes, without), p.Family)
	*d = *denied
}

// enable says how to enable an IPPool.
func enable(p *calico.IPPool) string {
	return fmt.Sprintf(`to enable it again, run: kubectl patch ippool %s --type merge -p '{"spec":{"disabled":false}}'`, p.Name)
}

// nodeSample is the number of nodes that a message names.
const nodeSample = 3

// withoutPool counts the nodes on which pods get addresses of a family from an IPPool and from no
// other one, and names the first few. O(nodes x IPPools of the family).
func withoutPool(s *state.Snapshot, p *calico.IPPool) (n int, sample []string) {
	for _, node := range s.Nodes() {
		if !p.Gives(node.Labels) {
			continue
		}
		replaced := false
		for _, other := range s.IPPools() {
			replaced = replaced || other.Name != p.Name && other.Family == p.Family && other.Gives(node.Labels)
		}
		if replaced {
			continue
		}
		n++
		if n <= nodeSample {
			sample = append(sample, node.Name)
		}
	}
	return n, sample
}
