package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// Exception is a BGPException that can be matched with changes. It is immutable.
type Exception struct {
	// Name and UID identify the BGPException, Reason is that of its spec.
	Name   string
	UID    types.UID
	Reason string
	// Ends is when it ends: spec.expires, at most v1alpha1.MaxExceptionAge after its creation.
	Ends time.Time

	policies []string
	match    matcher
	anyone   bool
}

// NewException returns the exception of a BGPException. It does not check the time: an expired one
// is valid. Errors are *FieldError and joined.
func NewException(o *v1alpha1.BGPException) (*Exception, error) {
	var errs []error
	fail := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s %s: %w", v1alpha1.KindBGPException, o.Name, &FieldError{field, fmt.Errorf(format, args...)}))
	}
	switch spec := &o.Spec; {
	case len(spec.Policies) == 0:
		fail("spec.policies", `is missing: name BGPPolicies, or "*" for all`)
	case slices.Contains(spec.Policies, v1alpha1.AllPolicies) && len(spec.Policies) > 1:
		fail("spec.policies", `"*" stands for every policy and must be the only item`)
	}
	if strings.TrimSpace(o.Spec.Reason) == "" {
		fail("spec.reason", "is missing")
	}
	if o.Spec.Expires.IsZero() {
		fail("spec.expires", "is missing: set a time such as 2026-12-24T22:00:00Z")
	}
	checkMatch(&o.Spec.Match, fail)
	if errs != nil {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	return &Exception{
		Name: o.Name, UID: o.UID, Reason: o.Spec.Reason, Ends: ends(o), policies: o.Spec.Policies,
		match:  newMatcher(&o.Spec.Match, &v1alpha1.Exempt{Users: o.Spec.Users, Groups: o.Spec.Groups}),
		anyone: len(o.Spec.Users) == 0 && len(o.Spec.Groups) == 0,
	}, nil
}

// ends returns when an exception ends. One that was created while admission did not review it can
// have any time in spec.expires.
func ends(o *v1alpha1.BGPException) time.Time {
	latest := o.CreationTimestamp.Add(v1alpha1.MaxExceptionAge)
	if o.CreationTimestamp.IsZero() || o.Spec.Expires.Time.Before(latest) {
		return o.Spec.Expires.Time
	}
	return latest
}

// CheckExpiry returns a *FieldError if a BGPException that is created now has expired, or expires too late.
func CheckExpiry(o *v1alpha1.BGPException, now time.Time) error {
	const field = "spec.expires"
	expires := o.Spec.Expires.UTC()
	var err error
	switch latest := now.Add(v1alpha1.MaxExceptionAge); {
	case !expires.After(now):
		err = fmt.Errorf("must be in the future, is %s; the time of bgpguard is %s", expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case expires.After(latest):
		err = fmt.Errorf("must be at most 7 days ahead, until %s, is %s", latest.UTC().Format(time.RFC3339), expires.Format(time.RFC3339))
	default:
		return nil
	}
	return fmt.Errorf("%s %s: %w", v1alpha1.KindBGPException, o.Name, &FieldError{field, err})
}

// Covers reports whether the exception allows a change at a time that the policy of a BGPPolicy
// denies.
func (x *Exception) Covers(policy string, r *Request, now time.Time) bool {
	return now.Before(x.Ends) && (x.policies[0] == v1alpha1.AllPolicies || slices.Contains(x.policies, policy)) &&
		(x.anyone || x.match.by(r)) && x.match.matches(r) && x.match.keeps(r)
}

// String returns "BGPException NAME until TIME".
func (x *Exception) String() string {
	return fmt.Sprintf("%s %s until %s", v1alpha1.KindBGPException, x.Name, x.Ends.UTC().Format(time.RFC3339))
}
