package policy

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// Kinds and Operations are those of changes that a BGPPolicy can match.
var (
	Kinds      = []string{"Node", "BGPConfiguration", "BGPPeer", "BGPFilter", "IPPool", "FelixConfiguration"}
	Operations = []string{"CREATE", "UPDATE", "DELETE"}
)

// Request is what a BGPPolicy's match and exempt look at.
type Request struct {
	// Kind and Name are the changed object's, Operation is what is done to it.
	Kind, Name, Operation string
	// Labels are the object's before and after the change; nil where it is not
	// there.
	Labels [2]map[string]string
	// User asks for the change, and is in Groups.
	User   string
	Groups []string
}

// matcher is match and exempt of a BGPPolicy.
type matcher struct {
	kinds, operations []string
	names             *regexp.Regexp // nil for any
	labels            labels.Selector
	users, groups     []string
}

// newMatcher reads a spec that was checked.
func newMatcher(spec *v1alpha1.BGPPolicySpec) matcher {
	m := matcher{labels: labels.Everything()}
	if match := spec.Match; match != nil {
		m.kinds, m.operations = match.Kinds, match.Operations
		if len(match.Names) > 0 {
			var patterns []string
			for _, name := range match.Names {
				patterns = append(patterns, strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`))
			}
			m.names = regexp.MustCompile(`^(?s:` + strings.Join(patterns, "|") + `)$`)
		}
		if match.LabelSelector != nil {
			m.labels, _ = metav1.LabelSelectorAsSelector(match.LabelSelector) // Document.check has seen it.
		}
	}
	if exempt := spec.Exempt; exempt != nil {
		m.users, m.groups = slices.Clone(exempt.Users), exempt.Groups
		for _, a := range exempt.ServiceAccounts {
			m.users = append(m.users, "system:serviceaccount:"+a.Namespace+":"+a.Name)
		}
	}
	return m
}

// Matches reports whether the policy judges the change that is asked for.
func (p *Policy) Matches(r *Request) bool {
	m := &p.match
	return (len(m.kinds) == 0 || slices.Contains(m.kinds, r.Kind)) &&
		(len(m.operations) == 0 || slices.Contains(m.operations, r.Operation)) &&
		(m.names == nil || m.names.MatchString(r.Name)) &&
		(m.labels.Empty() || slices.ContainsFunc(r.Labels[:], func(set map[string]string) bool {
			return set != nil && m.labels.Matches(labels.Set(set))
		}))
}

// Exempts reports whether the policy does not hold back what its user asks for.
func (p *Policy) Exempts(r *Request) bool {
	return slices.Contains(p.match.users, r.User) ||
		slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(p.match.groups, g) })
}
