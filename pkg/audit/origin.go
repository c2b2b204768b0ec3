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

// Origin says how a violation came about.
type Origin string

// The origins.
const (
	// Standing was there when the first audit looked, or when its policy came or was
	// changed.
	Standing Origin = "Standing"
	// Allowed came by changes that the policy does not deny.
	Allowed Origin = "Allowed"
	// Unreviewed came by changes that admission does not review, or does not hold back:
	// a node that joins or is no longer ready, a Secret.
	Unreviewed Origin = "Unreviewed"
	// Exempt came by a change that the policy denies, of a user for whom it does not
	// hold.
	Exempt Origin = "Exempt"
	// PastAdmission came by a change that the policy denies and that was made all the
	// same: the webhook was down or not asked.
	PastAdmission Origin = "PastAdmission"
	// Together came by several changes that the policy allows one by one.
	Together Origin = "Together"
	// Unwatched came while no audit ran, or while its policy could not judge.
	Unwatched Origin = "Unwatched"
)

// Origins lists every origin.
var Origins = []Origin{Standing, Allowed, Unreviewed, Exempt, PastAdmission, Together, Unwatched}

// Drift reports whether what o is the origin of came past admission, or may have:
// the policy denies it, and yet it is there.
func (o Origin) Drift() bool {
	return o == Exempt || o == PastAdmission || o == Together || o == Unwatched
}

// maxTried is how many changes are tried one by one to find the one at fault. More
// come at once only when much is restored or moved.
const maxTried = 50

// notReviewed is the cause of what came by changes that admission does not review.
const notReviewed = "it came by changes that admission does not review, such as nodes that join or are no longer ready"

// explain tells how violations of policies that deny came about since the audit
// before. It judges the state before anew, once, and each change to it.
func explain(ctx context.Context, engine *validate.Engine, step Step, since time.Time, a *Audit, appeared []*Violation) {
	if step.Before == nil {
		for _, v := range appeared {
			v.Origin = Unwatched
			v.Cause = fmt.Sprintf("it came after %s, while no audit ran", since.UTC().Format(time.RFC3339))
		}
		return
	}
	var reviewed []state.Change
	ground := step.Before
	for _, c := range state.Difference(step.Before, a.Snapshot) {
		if Reviewed(c) {
			reviewed = append(reviewed, c)
		} else {
			ground = ground.Apply(c)
		}
	}
	if len(reviewed) == 0 { // Nothing has to be judged to know.
		for _, v := range appeared {
			v.Origin, v.Cause = Unreviewed, notReviewed
		}
		return
	}
	appeared = unreviewed(ctx, engine, ground, a.Topology, appeared)
	if len(appeared) == 0 {
		return
	}
	if len(reviewed) > maxTried {
		for _, v := range appeared {
			v.Origin = Together
			v.Cause = fmt.Sprintf("it came by one or more of %s at once", text.Count(len(reviewed), "change"))
		}
		return
	}
	blamed := blame(ctx, engine, ground, reviewed)
	for _, v := range appeared {
		settle(ctx, step, v, reviewed, blamed[keyOf(&v.Violation)])
	}
}

// unreviewed settles the violations that are there without any change that admission
// reviews, and returns the rest.
func unreviewed(ctx context.Context, engine *validate.Engine, ground *state.Snapshot, now *topology.Topology, appeared []*Violation) []*Violation {
	there := map[key]float64{}
	judged := engine.Judge(ctx, ground)
	for _, v := range judged.Violations {
		there[keyOf(&v)] = v.Size
	}
	return slices.DeleteFunc(appeared, func(v *Violation) bool {
		size, ok := there[keyOf(&v.Violation)]
		if !ok || size < v.Size || harmsMore(now, judged.Topology, v) {
			return false
		}
		v.Origin, v.Cause = Unreviewed, notReviewed
		return true
	})
}

// moves returns what tells whether a violation of a harms nodes that it would not have
// harmed in the state before: admission takes that for another one, whatever its size.
func moves(ctx context.Context, before *state.Snapshot, a *Audit) func(*Violation) bool {
	var was *topology.Topology // computed where it is needed
	return func(v *Violation) bool {
		if before == nil || before == a.Snapshot || len(v.Members) == 0 {
			return false
		}
		if was == nil {
			var err error
			if was, err = topology.Compute(ctx, before, a.Topology); err != nil {
				return true // What is not known counts as worse.
			}
		}
		return harmsMore(a.Topology, was, v)
	}
}

// harmsMore reports whether a set of v has nodes now that it did not have before. A
// handle that means nothing is for admission to complain of.
func harmsMore(now, before *topology.Topology, v *Violation) bool {
	return slices.ContainsFunc(v.Members, func(members string) bool {
		gained, _, err := now.Gained(before, members)
		return err == nil && gained > 0
	})
}

// blame tells which changes, each made alone, a policy denies for a violation.
func blame(ctx context.Context, engine *validate.Engine, ground *state.Snapshot, changes []state.Change) map[key][]violation.Object {
	out := map[key][]violation.Object{}
	for _, c := range changes {
		for _, v := range engine.Decide(ctx, ground, validate.Request{Change: c}).Violations {
			out[keyOf(&v)] = append(out[keyOf(&v)], objectOf(c))
		}
	}
	return out
}

func objectOf(c state.Change) violation.Object {
	return violation.Object{Kind: string(c.ID().Kind), Name: c.ID().Name}
}

// settle tells how a violation came about of which some changes, or none, are to
// blame.
func settle(ctx context.Context, step Step, v *Violation, reviewed []state.Change, blamed []violation.Object) {
	if len(blamed) == 0 && len(reviewed) == 1 {
		v.Origin = Allowed
		v.Cause = "it came by the change of " + objectOf(reviewed[0]).String() + ", which the policy does not match"
		return
	}
	if len(blamed) == 0 {
		v.Origin = Together
		v.Cause = "the changes that it came by are each allowed: " + list(reviewed)
		return
	}
	if step.Exempted != nil {
		for _, o := range blamed {
			if user, ok := step.Exempted(ctx, v.Policy, o); ok {
				v.Origin = Exempt
				v.Cause = fmt.Sprintf("it came by the change of %s by %s, for whom the policy does not hold", o, user)
				return
			}
		}
	}
	v.Origin = PastAdmission
	v.Cause = fmt.Sprintf("it came by the change of %s, which the policy denies and which was not reviewed, or made in spite of it",
		someObjects(blamed))
}

// list names the objects of changes, the first few of them.
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

// Reviewed reports whether admission reviews a change: config/webhook sends it
// those of Calico's objects that people write, and deletes and changes of Nodes but
// not whether they are ready. A node joins in two steps: kubelet makes the Node, which
// is not reviewed, and calico-node gives it its BGP addresses, which no policy may hold
// back.
func Reviewed(c state.Change) bool {
	switch c.ID().Kind.Info().Review {
	case calico.ReviewExisting:
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
