package policy

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// exceptionOf returns a BGPException for the policy mesh that expires after an hour.
func exceptionOf(tweaks ...func(*v1alpha1.BGPException)) *v1alpha1.BGPException {
	o := &v1alpha1.BGPException{
		ObjectMeta: metav1.ObjectMeta{Name: "incident", UID: "u-1", CreationTimestamp: metav1.NewTime(noon)},
		Spec: v1alpha1.BGPExceptionSpec{
			Policies: []string{"mesh"}, Reason: "INC-1", Expires: metav1.NewTime(noon.Add(time.Hour)),
		},
	}
	for _, tweak := range tweaks {
		tweak(o)
	}
	return o
}

func TestWhatAnExceptionCovers(t *testing.T) {
	change := Request{
		Kind: "BGPPeer", Name: "rack-1", Operation: "DELETE", Labels: [2]map[string]string{{"rack": "1"}, nil}, User: "jane", Groups: []string{"oncall"},
	}
	type tweak = func(*v1alpha1.BGPException)
	spec := func(f func(*v1alpha1.BGPExceptionSpec)) tweak {
		return func(o *v1alpha1.BGPException) { f(&o.Spec) }
	}
	match := func(m v1alpha1.Match) tweak { return func(o *v1alpha1.BGPException) { o.Spec.Match = m } }
	late := spec(func(s *v1alpha1.BGPExceptionSpec) { s.Expires = metav1.NewTime(noon.Add(30 * 24 * time.Hour)) })
	for name, test := range map[string]struct {
		tweak tweak
		after time.Duration
		want  bool
	}{
		"every change":                 {func(*v1alpha1.BGPException) {}, 0, true},
		"until it expires":             {func(*v1alpha1.BGPException) {}, time.Hour - 1, true},
		"after it has expired":         {func(*v1alpha1.BGPException) {}, time.Hour, false},
		"another policy":               {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Policies = []string{"other", "mesh-2"} }), 0, false},
		"one of several policies":      {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Policies = []string{"other", "mesh"} }), 0, true},
		"all policies":                 {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Policies = []string{"*"} }), 0, true},
		"the object":                   {match(v1alpha1.Match{Kinds: []string{"BGPPeer"}, Names: []string{"rack-*"}}), 0, true},
		"another object":               {match(v1alpha1.Match{Kinds: []string{"BGPPeer"}, Names: []string{"rack-2"}}), 0, false},
		"another kind":                 {match(v1alpha1.Match{Kinds: []string{"Node"}}), 0, false},
		"another operation":            {match(v1alpha1.Match{Operations: []string{"CREATE"}}), 0, false},
		"the labels":                   {match(v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1"}}}), 0, true},
		"other labels":                 {match(v1alpha1.Match{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"rack": "2"}}}), 0, false},
		"the user":                     {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Users = []string{"jane"} }), 0, true},
		"another user":                 {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Users = []string{"joe"} }), 0, false},
		"a group of the user":          {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Users, s.Groups = []string{"joe"}, []string{"oncall"} }), 0, true},
		"another group":                {spec(func(s *v1alpha1.BGPExceptionSpec) { s.Groups = []string{"jane"} }), 0, false},
		"that was stored unreviewed":   {late, v1alpha1.MaxExceptionAge - 1, true},
		"a week after its creation":    {late, v1alpha1.MaxExceptionAge, false},
		"of a file, without that time": {func(o *v1alpha1.BGPException) { late(o); o.CreationTimestamp = metav1.Time{} }, v1alpha1.MaxExceptionAge, true},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := NewException(exceptionOf(test.tweak))
			if err != nil {
				t.Fatal(err)
			}
			if got := x.Covers("mesh", &change, noon.Add(test.after)); got != test.want {
				t.Errorf("covers: %t", got)
			}
		})
	}
}

func TestAnInvalidExceptionIsRejected(t *testing.T) {
	for name, test := range map[string]struct {
		tweak func(*v1alpha1.BGPExceptionSpec)
		want  string
	}{
		"no policy":          {func(s *v1alpha1.BGPExceptionSpec) { s.Policies = nil }, "spec.policies: is missing"},
		"all and one policy": {func(s *v1alpha1.BGPExceptionSpec) { s.Policies = []string{"a", "*"} }, `spec.policies: "*" stands for every policy`},
		"no reason":          {func(s *v1alpha1.BGPExceptionSpec) { s.Reason = " \t" }, "spec.reason: is missing"},
		"no end":             {func(s *v1alpha1.BGPExceptionSpec) { s.Expires = metav1.Time{} }, "spec.expires: is missing"},
		"an unknown kind":    {func(s *v1alpha1.BGPExceptionSpec) { s.Match.Kinds = []string{"Pod"} }, "spec.match.kinds[0]: must be one of "},
		"a bad selector": {func(s *v1alpha1.BGPExceptionSpec) {
			s.Match.LabelSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
		}, `spec.match.labelSelector: "Like" is not a valid label selector operator`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewException(exceptionOf(func(o *v1alpha1.BGPException) { test.tweak(&o.Spec) }))
			if err == nil || !strings.HasPrefix(err.Error(), "BGPException incident: "+test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestTheEndOfANewException(t *testing.T) {
	for after, want := range map[time.Duration]string{
		-time.Second:                     "must be in the future, is 2026-03-14T11:59:59Z; the time of bgpguard is 2026-03-14T12:00:00Z",
		0:                                "must be in the future",
		time.Second:                      "",
		v1alpha1.MaxExceptionAge:         "",
		v1alpha1.MaxExceptionAge + 1e9:   "must be at most 7 days ahead, until 2026-03-21T12:00:00Z, is 2026-03-21T12:00:01Z",
		5000 * v1alpha1.MaxExceptionAge:  "must be at most 7 days ahead",
		-5000 * v1alpha1.MaxExceptionAge: "must be in the future",
	} {
		t.Run(after.String(), func(t *testing.T) {
			o := exceptionOf(func(o *v1alpha1.BGPException) { o.Spec.Expires = metav1.NewTime(noon.Add(after)) })
			switch err := CheckExpiry(o, noon); {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "BGPException incident: spec.expires: "+want)):
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// A user must not be able to select an object for an exception by the change itself.
func TestAChangeOfLabelsMustMatchBeforeAndAfter(t *testing.T) {
	x, err := NewException(exceptionOf(func(o *v1alpha1.BGPException) {
		o.Spec.Match.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	in, out := map[string]string{"rack": "1"}, map[string]string{}
	for name, test := range map[string]struct {
		labels [2]map[string]string
		want   bool
	}{
		"kept":      {[2]map[string]string{in, in}, true},
		"added":     {[2]map[string]string{out, in}, false},
		"removed":   {[2]map[string]string{in, out}, false},
		"a create":  {[2]map[string]string{nil, in}, true},
		"a delete":  {[2]map[string]string{in, nil}, true},
		"never set": {[2]map[string]string{out, out}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := x.Covers("mesh", &Request{Kind: "Node", Name: "a", Operation: "UPDATE", Labels: test.labels}, noon); got != test.want {
				t.Errorf("covers: %t", got)
			}
		})
	}
}
