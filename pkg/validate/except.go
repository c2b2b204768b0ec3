package validate

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Override is what allows a change although policies deny it.
type Override struct {
	// Exception allows the change. It is nil if the policies are not enforced for the user.
	Exception *policy.Exception
	// Policies are the names of the policies, sorted.
	Policies []string
}

// ExceptedBy returns the suffix of the warning about what an exception allows.
func ExceptedBy(x *policy.Exception) string { return " (allowed by " + x.String() + ")" }

// except sets Exception of each verdict and failure that denies the changes of set and that an
// exception covers. Of several changes, one exception must cover all that the policy matches. One
// for an Installation covers what tigera-operator writes for it.
func (e *Engine) except(d *Decision, set requestSet, policies *policy.Set) {
	exceptions := e.exceptions.Load()
	if exceptions == nil || len(*exceptions) == 0 || !d.denied() {
		return
	}
	now := e.now()
	covering := map[string]*policy.Exception{}
	for _, p := range policies.Policies() {
		numbers := set.matching(p)
		i := slices.IndexFunc(*exceptions, func(x *policy.Exception) bool {
			return !slices.ContainsFunc(numbers, func(n int) bool {
				return !x.Covers(p.Name, set[n].asked, now) && !(set[n].written() && x.Covers(p.Name, set.installation().asked, now))
			})
		})
		if i >= 0 && len(numbers) > 0 {
			covering[p.Name] = (*exceptions)[i]
		}
	}
	for i := range d.Verdicts {
		if v := &d.Verdicts[i]; v.denies() {
			v.Exception = covering[v.Violation.Policy]
		}
	}
	for i := range d.Failures {
		if f := &d.Failures[i]; f.Applied() == violation.Deny {
			f.Exception = covering[f.Policy]
		}
	}
}

// Excepted returns the exceptions without which the change would be denied, in order of their
// names, each with the policies that would deny it.
func (d *Decision) Excepted() []Override {
	var out []Override
	add := func(x *policy.Exception, name string) {
		i := slices.IndexFunc(out, func(o Override) bool { return o.Exception == x })
		switch {
		case x == nil:
		case i < 0:
			out = append(out, Override{x, []string{name}})
		case !slices.Contains(out[i].Policies, name):
			out[i].Policies = append(out[i].Policies, name)
		}
	}
	for i := range d.Verdicts {
		add(d.Verdicts[i].Exception, d.Verdicts[i].Violation.Policy)
	}
	for i := range d.Failures {
		add(d.Failures[i].Exception, d.Failures[i].Policy)
	}
	for i := range out {
		slices.Sort(out[i].Policies)
	}
	slices.SortFunc(out, func(a, b Override) int { return strings.Compare(a.Exception.Name, b.Exception.Name) })
	return out
}
