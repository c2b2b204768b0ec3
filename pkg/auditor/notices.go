package auditor

import (
	"fmt"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The reasons of Events.
const (
	reasonFound    = "ViolationFound"
	reasonDrift    = "DriftFound"
	reasonResolved = "ViolationResolved"
	reasonFails    = "EvaluationFails"
)

const (
	// maxEvents bounds the Events of one audit about violations that were found, and those
	// about resolved ones. One Event for each policy counts the rest.
	maxEvents = 50
	// maxObjects bounds the objects of a violation that get an Event.
	maxObjects = 3
	// maxLogged bounds the log lines of one audit.
	maxLogged = 50
	// maxNotices bounds the notices that wait while Events cannot be written.
	maxNotices = 500
	// maxNote bounds the note of an Event, in bytes (k8s.io/api/events/v1).
	maxNote = 1024
)

// notice is a violation that was found or resolved, to be sent as Events.
type notice struct {
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
	Policy string    `json:"policy"`
	// ID is the ID of the violation, "" in a notice that counts further violations.
	ID   string `json:"id,omitempty"`
	Note string `json:"note"`
	// Objects get an Event each. Without objects, the BGPPolicy gets the Event.
	Objects []violation.Object `json:"objects,omitempty"`

	severity  string
	origin    audit.Origin
	firstSeen time.Time
}

// noticesOf returns the violations that are new or became drift since the trail before, nil
// for none, worst first, and then the resolved ones. incomplete reports that the trail does
// not hold all violations, so that it is not known which ones are new.
func noticesOf(a *audit.Audit, before *audit.Trail, incomplete bool) []notice {
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
		case was == nil && incomplete:
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
		// The cause comes first, so that a long message does not hide it.
		n.Note = fmt.Sprintf("[%s] drift, %s; %s", v.Policy, v.Cause, v.Text())
	}
	n.Note = text.Cut(n.Note, maxNote)
	return n
}

func resolvedNotice(a *audit.Audit, v *audit.Violation) notice {
	n := newNotice(a, v, reasonResolved)
	note := fmt.Sprintf("[%s] resolved: %s, first seen at %s", v.Policy, v.ID, v.FirstSeen.Format(time.RFC3339))
	if !a.InForce(v.Policy) {
		note = fmt.Sprintf("[%s] no longer checked, %s: %s, first seen at %s", v.Policy, v.Cause, v.ID, v.FirstSeen.Format(time.RFC3339))
	}
	n.Note = text.Cut(note, maxNote)
	return n
}

func newNotice(a *audit.Audit, v *audit.Violation, reason string) notice {
	n := notice{
		Reason: reason, Time: a.Time, Policy: v.Policy, ID: v.ID,
		severity: v.Severity, origin: v.Origin, firstSeen: v.FirstSeen,
	}
	for _, o := range v.Objects[:min(len(v.Objects), maxObjects)] {
		n.Objects = append(n.Objects, o.Object)
	}
	return n
}

// quarantineNotices returns a notice for each policy that is quarantined and not in known, and
// the names of all that are.
func quarantineNotices(set *policy.Set, known []string, now time.Time) (notices []notice, names []string) {
	for _, p := range set.Policies() {
		err := p.Quarantined()
		if err == nil {
			continue
		}
		names = append(names, p.Name)
		if !slices.Contains(known, p.Name) {
			notices = append(notices, notice{Reason: reasonFails, Time: now, Policy: p.Name, Note: text.Cut(fmt.Sprintf("[%s] not enforced: %v", p.Name, err), maxNote)})
		}
	}
	return notices, names
}

// boundNotices keeps notices for at most maxEvents Events about violations that were found, and
// as many about resolved ones. A notice for each policy counts the rest.
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
		left[resolved] = 0 // A later one with fewer objects is less severe.
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
			n.Note = fmt.Sprintf("[%s] %s resolved", n.Policy, count)
		case reasonDrift:
			n.Note = fmt.Sprintf("[%s] drift: %s found", n.Policy, count)
		default:
			n.Note = fmt.Sprintf("[%s] %s found", n.Policy, count)
		}
		out = append(out, n)
	}
	return out
}
