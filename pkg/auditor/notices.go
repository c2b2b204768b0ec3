package auditor

import (
	"fmt"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The reasons of Events.
const (
	reasonFound    = "ViolationFound"
	reasonDrift    = "DriftFound"
	reasonResolved = "ViolationResolved"
)

const (
	// maxEvents bounds the Events of one audit about what was found, and those about
	// what is resolved; what goes beyond is one Event for each policy.
	maxEvents = 50
	// maxObjects is how many objects of a violation get an Event.
	maxObjects = 3
	// maxLogged bounds the lines of one audit in the log.
	maxLogged = 50
	// maxNotices bounds what waits to be sent, where Events cannot be written.
	maxNotices = 500
	// maxNote is the longest note of an Event, in bytes.
	maxNote = 1024
)

// notice is what is to be told of a violation by Events: that it is there, or gone.
type notice struct {
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
	Policy string    `json:"policy"`
	// ID is that of the violation, "" in a notice of how many more there are.
	ID   string `json:"id,omitempty"`
	Note string `json:"note"`
	// Objects are those to tell it about, none for the BGPPolicy itself.
	Objects []violation.Object `json:"objects,omitempty"`

	severity  string
	origin    audit.Origin
	firstSeen time.Time
}

// noticesOf is what is news in an audit since the trail before, nil for none: what was
// found, worst first, and what is resolved. cut says that the trail was cut short, so
// that nobody knows what is new.
func noticesOf(a *audit.Audit, before *audit.Trail, cut bool) []notice {
	type key struct{ policy, id string }
	old := map[key]*audit.Seen{}
	if before != nil {
		for i := range before.Violations {
			s := &before.Violations[i]
			old[key{s.Policy, s.ID}] = s
		}
	}
	var out []notice
	for i := range a.Violations {
		v := &a.Violations[i]
		switch was := old[key{v.Policy, v.ID}]; {
		case was == nil && cut:
		case was == nil, v.Origin.Drift() && (v.Origin != was.Origin || v.Cause != was.Cause):
			out = append(out, foundNotice(a, v))
		}
	}
	for i := range a.Resolved {
		out = append(out, resolvedNotice(a, &a.Resolved[i]))
	}
	return out
}

func foundNotice(a *audit.Audit, v *audit.Violation) notice {
	n := newNotice(a, v, reasonFound)
	n.Note = fmt.Sprintf("[%s] %s", v.Policy, v.Text())
	if v.Origin.Drift() {
		n.Reason = reasonDrift
		// In front, so that a long message does not hide it.
		n.Note = fmt.Sprintf("[%s] came past admission, or may have: %s; %s", v.Policy, v.Cause, v.Text())
	}
	n.Note = text.Cut(n.Note, maxNote)
	return n
}

func resolvedNotice(a *audit.Audit, v *audit.Violation) notice {
	n := newNotice(a, v, reasonResolved)
	note := fmt.Sprintf("[%s] resolved: %s is no longer found; it was first seen at %s", v.Policy, v.ID, v.FirstSeen.Format(time.RFC3339))
	if !slices.ContainsFunc(a.Policies, func(p audit.Policy) bool { return p.Name == v.Policy }) {
		note = fmt.Sprintf("[%s] no longer looked for: %s, as %s; it was first seen at %s", v.Policy, v.ID, v.Cause, v.FirstSeen.Format(time.RFC3339))
	}
	n.Note = text.Cut(note, maxNote)
	return n
}

func newNotice(a *audit.Audit, v *audit.Violation, reason string) notice {
	return notice{
		Reason: reason, Time: a.Time, Policy: v.Policy, ID: v.ID, Objects: v.Objects[:min(len(v.Objects), maxObjects)],
		severity: v.Severity, origin: v.Origin, firstSeen: v.FirstSeen,
	}
}

// boundNotices leaves as many notices as there may be Events, and says of the rest how
// many there are, for each policy.
func boundNotices(notices []notice) []notice {
	type kind struct{ policy, reason string }
	var out []notice
	more := map[kind]int{}
	var order []notice
	left := map[bool]int{true: maxEvents, false: maxEvents}
	for _, n := range notices {
		resolved := n.Reason == reasonResolved
		if count := max(1, len(n.Objects)); left[resolved] >= count {
			left[resolved] -= count
			out = append(out, n)
			continue
		}
		left[resolved] = 0 // A later one that is smaller is not worse.
		k := kind{n.Policy, n.Reason}
		if more[k] == 0 {
			order = append(order, n)
		}
		more[k]++
	}
	for _, first := range order {
		n := first
		count := text.Count(more[kind{n.Policy, n.Reason}], "more violation")
		n.ID, n.Objects = "", nil
		switch n.Reason {
		case reasonResolved:
			n.Note = fmt.Sprintf("[%s] and %s resolved", n.Policy, count)
		case reasonDrift:
			n.Note = fmt.Sprintf("[%s] and %s found that came past admission, or may have", n.Policy, count)
		default:
			n.Note = fmt.Sprintf("[%s] and %s found", n.Policy, count)
		}
		out = append(out, n)
	}
	return out
}
