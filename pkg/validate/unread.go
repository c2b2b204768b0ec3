package validate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// dependents lists, for each kind whose object "default" has settings of the whole cluster,
// the parts of a summary that depend on this object. While it does not parse, they are not
// known. Other objects that do not parse affect only themselves, and are ignored.
var dependents = map[calico.Kind][]string{
	calico.KindBGPConfiguration: {
		"mesh", "reflectors", "sessions", "routes", "convergence", "timers", "bgpPeers", "bgpConfigurations",
		"podTraffic", "clusterRoutes", "ipPools", "otherASNumbers",
	},
	calico.KindFelixConfiguration: {"podTraffic", "clusterRoutes", "felixConfigurations", "ipPools", "routes"},
	calico.KindClusterInformation: {
		"calicoVersion", "podTraffic", "clusterRoutes", "ipPools", "routes", "sessions", "convergence", "timers",
		"bgpPeers", "bgpConfigurations", "bgpFilters", "felixConfigurations", "clusterInformations",
	},
}

// Essential reports whether parts of a summary are not known while the object with the given
// ID does not parse.
func Essential(id calico.ID) bool { return id.Name == calico.Default && dependents[id.Kind] != nil }

// UnreadError is the evaluation error of a policy that reads a part of the state that is not
// known, because an object does not parse.
type UnreadError struct{ Object *calico.Unparsed }

// Error names the object, what does not parse, and what to do.
func (e *UnreadError) Error() string {
	return fmt.Sprintf("%s does not parse (%s): fix or delete it", e.Object.ID(), e.Object.Message)
}

func isUnread(err error) bool {
	_, ok := errors.AsType[*UnreadError](err)
	return ok
}

// unreadBy returns an *UnreadError if the policy reads a part of s that is not known.
func unreadBy(p *policy.Policy, s *state.Snapshot) error {
	for _, u := range s.Unread() {
		if !Essential(u.ID()) || u.Skipped() {
			continue
		}
		if slices.ContainsFunc(dependents[u.ID().Kind], p.Reads) {
			return &UnreadError{u}
		}
	}
	return nil
}

// fixesUnread reports whether a change fixes or deletes an object that parts of the summary
// depend on and that did not parse. Nothing was known before it, so that nothing can be worse:
// it is never denied.
func fixesUnread(c state.Change) bool {
	u, ok := c.Before.(*calico.Unparsed)
	return ok && !u.Skipped() && !calico.IsUnparsed(c.After) && Essential(c.ID())
}

// wasUnread is the reason why a change that fixes an unread object is not denied.
const wasUnread = "the object did not parse before this change, so the state before it is not known"

// soften makes a failure of a change that fixes an unread object a warning if the policy failed
// because another one remains: otherwise none of two such objects could be fixed.
func soften(f *Failure) {
	if f.Action == violation.Deny && isUnread(f.Err) {
		f.Action = violation.Warn
	}
}
