package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Origin is what introduced a violation.
type Origin string

// The origins.
const (
	// Standing: the violation existed at the first audit, or when its policy was added, changed
	// or fixed.
	Standing Origin = "Standing"
	// Allowed: changes that the policy does not deny introduced the violation.
	Allowed Origin = "Allowed"
	// Unreviewed: changes that admission does not review or cannot deny introduced the
	// violation, such as a node that joins or becomes not ready, or a Secret.
	Unreviewed Origin = "Unreviewed"
	// Exempt: a change that the policy denies introduced the violation. The user who made it is
	// exempt from the policy, or a BGPException allowed it.
	Exempt Origin = "Exempt"
	// PastAdmission: a change that the policy denies introduced the violation. It bypassed the
	// webhook, which was down or was not called.
	PastAdmission Origin = "PastAdmission"
	// Together: several changes introduced the violation. The policy allows each change alone.
	Together Origin = "Together"
	// Unwatched: the violation was introduced while no audit ran, or while its policy could not
	// be evaluated.
	Unwatched Origin = "Unwatched"
)

// Drift reports whether a violation of origin o is in the state although its policy
// denies it. Users call such a violation drift.
func (o Origin) Drift() bool {
	return o == Exempt || o == PastAdmission || o == Together || o == Unwatched
}

// maxTried is how many changes are evaluated one by one to find the one that introduced a
// violation. Only a restore or a migration makes more changes between two audits.
const maxTried = 50

// notReviewed is the cause of a violation that is Unreviewed.
const notReviewed = "introduced by changes that admission does not review, such as nodes that join or become not ready"

// explain sets the origin of violations that policies deny and that are worse than at the
// previous audit, which was at since. It applies all changes that admission does not review
// to the state at that time, and evaluates each of the other changes alone on the result.
func explain(ctx context.Context, engine *validate.Engine, step Step, since time.Time, a *Audit, worse []*Violation) {
	set := func(violations []*Violation, origin Origin, cause string) {
		for _, v := range violations {
			v.Origin, v.Cause = origin, cause
		}
	}
	if step.Before == nil {
		set(worse, Unwatched, fmt.Sprintf("introduced after %s, while no audit ran", since.UTC().Format(time.RFC3339)))
		return
	}
	var reviewed []state.Change
	ground := step.Before
	for _, c := range state.Difference(step.Before, a.Snapshot) {
		if isReviewed(c) {
			reviewed = append(reviewed, c)
		} else {
			ground = ground.Apply(c)
		}
	}
	if len(reviewed) == 0 { // No change is left to evaluate.
		set(worse, Unreviewed, notReviewed)
		return
	}
	verdicts := a.compare(engine.Evaluate(ctx, ground).Found())
	worse = slices.DeleteFunc(worse, func(v *Violation) bool {
		verdict := verdicts[keyOf(&v.Violation)]
		if verdict == nil || verdict.Relation.Worse() {
			return false
		}
		v.Origin, v.Cause = Unreviewed, notReviewed // It exists without any reviewed change.
		return true
	})
	if len(worse) == 0 {
		return
	}
	if len(reviewed) > maxTried {
		set(worse, Together, fmt.Sprintf("introduced by one or more of %s at once", text.Count(len(reviewed), "change")))
		return
	}
	denied := deniedChanges(ctx, engine, ground, reviewed)
	for _, v := range worse {
		v.Origin, v.Cause = step.origin(ctx, v.Policy, reviewed, denied[keyOf(&v.Violation)])
	}
}

// deniedChanges returns, for each violation, the objects of the changes that make it
// worse, each applied alone to ground.
func deniedChanges(ctx context.Context, engine *validate.Engine, ground *state.Snapshot, changes []state.Change) map[key][]violation.Object {
	out := map[key][]violation.Object{}
	for _, c := range changes {
		d := engine.Decide(ctx, ground, validate.Request{Change: c})
		for v := range d.Worse() {
			if v.Assumption != "" { // The state as it is does not show it.
				continue
			}
			k := keyOf(&v.Violation)
			out[k] = append(out[k], objectOf(c))
		}
	}
	return out
}

func objectOf(c state.Change) violation.Object {
	return violation.Object{Kind: string(c.ID().Kind), Name: c.ID().Name}
}

// origin returns the origin and the cause of a violation of a policy, given the reviewed
// changes and the objects of those that the policy denies because of it.
func (s *Step) origin(ctx context.Context, policy string, reviewed []state.Change, denied []violation.Object) (Origin, string) {
	switch {
	case len(denied) == 0 && len(reviewed) == 1:
		return Allowed, fmt.Sprintf("introduced by a change to %s, which the policy does not match", objectOf(reviewed[0]))
	case len(denied) == 0:
		return Together, "introduced by several changes, each of which is allowed by itself: " + list(reviewed)
	}
	if s.Exempted != nil {
		for _, o := range denied {
			if by, ok := s.Exempted(ctx, policy, o); ok {
				return Exempt, fmt.Sprintf("introduced by a change to %s by %s", o, by)
			}
		}
	}
	if len(denied) == 1 {
		return PastAdmission, fmt.Sprintf("introduced by a change to %s that the policy denies: it bypassed the webhook", denied[0])
	}
	return PastAdmission, fmt.Sprintf("introduced by changes to %s that the policy denies: they bypassed the webhook", someObjects(denied))
}

// list names the objects of the first few changes.
func list(changes []state.Change) string {
	objects := make([]violation.Object, len(changes))
	for i, c := range changes {
		objects[i] = objectOf(c)
	}
	return someObjects(objects)
}

func someObjects(objects []violation.Object) string {
	names := make([]string, 0, topology.SampleSize)
	for _, o := range objects[:min(len(objects), topology.SampleSize)] {
		names = append(names, o.String())
	}
	if rest := len(objects) - len(names); rest > 0 {
		names = append(names, text.Count(rest, "more", "more"))
	}
	return strings.Join(names, ", ")
}

// isReviewed reports whether admission reviews a change. config/webhook selects Calico's
// objects that people write, and changes of the fields of Nodes that decide BGP. A node
// joins in two steps: kubelet creates the Node, which is not reviewed, and calico-node
// adds its BGP addresses, which no policy may deny. Two audits can see both steps as one
// create with addresses, so a create does not count as reviewed.
func isReviewed(c state.Change) bool {
	switch c.ID().Kind.Info().Review {
	case calico.ReviewBGPFields:
		before, _ := c.Before.(*calico.Node)
		after, _ := c.After.(*calico.Node)
		if before == nil || !before.SpeaksBGP(calico.IPv4) && !before.SpeaksBGP(calico.IPv6) {
			return false
		}
		return after == nil || !before.SameBGP(after)
	case calico.ReviewAll:
		return true
	default:
		return false
	}
}
