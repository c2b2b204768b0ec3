package topology

import (
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// The types and constants below are part of the interface of this package, because its
// lists and summaries contain them. They are declared in package sessions, which makes
// their values. Only this package imports package sessions.

// HalfSession is one side of a BGP session.
type HalfSession = sessions.HalfSession

// BrokenSession is a half-session on which no session can come up.
type BrokenSession = sessions.BrokenSession

// AmbiguousSession is a half-session for which BGPPeers have different settings.
type AmbiguousSession = sessions.AmbiguousSession

// FrozenNode is a node whose BIRD rejects its configuration.
type FrozenNode = sessions.FrozenNode

// RejectedValue is a value of an object that BIRD rejects.
type RejectedValue = sessions.RejectedValue

// Selector is a selector of a BGPPeer, with what it matches.
type Selector = sessions.Selector

// Status is whether a session comes up on a half-session.
type Status = sessions.Status

// The statuses of a half-session.
const (
	Paired   = sessions.Paired
	External = sessions.External
	Broken   = sessions.Broken
)

// ScopeExternal is the scope of a BGPPeer with an address that no node has.
const ScopeExternal = sessions.ScopeExternal

// Reason is why no session comes up on a half-session.
type Reason = sessions.Reason

// The reasons why no session comes up on a half-session.
const (
	NoReturn            = sessions.NoReturn
	ASNumberMismatch    = sessions.ASNumberMismatch
	ASNumberZero        = sessions.ASNumberZero
	PasswordMismatch    = sessions.PasswordMismatch
	TTLSecurityMismatch = sessions.TTLSecurityMismatch
	NobodyDials         = sessions.NobodyDials
	NotOnLink           = sessions.NotOnLink
	Overlapping         = sessions.Overlapping
	AddressShared       = sessions.AddressShared
)

// TransitPeers are external peers that are known to pass routes on; see
// sessions.TransitPeers.
type TransitPeers = sessions.TransitPeers

// NewTransitPeers returns the external peers that any of the entries names; see
// sessions.NewTransitPeers.
func NewTransitPeers(entries []string) *TransitPeers { return sessions.NewTransitPeers(entries) }
