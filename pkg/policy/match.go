package policy

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// Kinds and Operations are the kinds of objects and the operations that a BGPPolicy can
// match. The kinds are those that admission reviews according to the table in pkg/calico. A
// test in that package checks this.
var (
	Kinds      = []string{"Node", "BGPConfiguration", "BGPPeer", "BGPFilter", "IPPool", "FelixConfiguration", "Installation"}
	Operations = []string{"CREATE", "UPDATE", "DELETE"}
)

// Request holds the properties of a change that match and exempt of a BGPPolicy select.
type Request struct {
	// Kind and Name are those of the changed object.
	Kind, Name, Operation string
	// Labels are the labels of the object before and after the change, nil if there is no
	// object.
	Labels [2]map[string]string
	// User is the user who makes the change, Groups are the user's groups.
	User   string
	Groups []string
}

// matcher selects changes and users, as match and exempt of a BGPPolicy do.
type matcher struct {
	kinds, operations []string
	names             *regexp.Regexp // nil for any
	labels            labels.Selector
	users, groups     []string
}

// newMatcher returns the matcher of a valid match and exempt, each of which can be nil.
func newMatcher(match *v1alpha1.Match, exempt *v1alpha1.Exempt) matcher {
	m := matcher{labels: labels.Everything()}
	if match != nil {
		m.kinds, m.operations = match.Kinds, match.Operations
		if len(match.Names) > 0 {
			var patterns []string
			for _, name := range match.Names {
				patterns = append(patterns, strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`))
			}
			m.names = regexp.MustCompile(`^(?s:` + strings.Join(patterns, "|") + `)$`)
		}
		if match.LabelSelector != nil {
			m.labels, _ = metav1.LabelSelectorAsSelector(match.LabelSelector) // Document.check has validated it.
		}
	}
	if exempt != nil {
		m.users, m.groups = slices.Clone(exempt.Users), exempt.Groups
		for _, a := range exempt.ServiceAccounts {
			m.users = append(m.users, "system:serviceaccount:"+a.Namespace+":"+a.Name)
		}
	}
	return m
}

// Matches reports whether the policy applies to the change.
func (p *Policy) Matches(r *Request) bool { return p.match.matches(r) }

func (m *matcher) matches(r *Request) bool {
	return (len(m.kinds) == 0 || slices.Contains(m.kinds, r.Kind)) &&
		(len(m.operations) == 0 || slices.Contains(m.operations, r.Operation)) &&
		(m.names == nil || m.names.MatchString(r.Name)) &&
		(m.labels.Empty() || slices.ContainsFunc(r.Labels[:], func(set map[string]string) bool {
			return set != nil && m.labels.Matches(labels.Set(set))
		}))
}

// keeps reports whether the matcher selects the labels of the object before and after the
// change. A change that adds a label selects itself otherwise.
func (m *matcher) keeps(r *Request) bool {
	return !slices.ContainsFunc(r.Labels[:], func(set map[string]string) bool {
		return set != nil && !m.labels.Matches(labels.Set(set))
	})
}

// Exempts reports whether the user is exempt from the policy.
func (p *Policy) Exempts(r *Request) bool { return p.match.by(r) }

// by reports whether the matcher names the user of a change or one of the user's groups.
func (m *matcher) by(r *Request) bool {
	return slices.Contains(m.users, r.User) ||
		slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(m.groups, g) })
}
