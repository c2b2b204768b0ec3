package topology

import (
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// The sessions of a topology are described by the types of package sessions.
type (
	HalfSession      = sessions.HalfSession
	BrokenSession    = sessions.BrokenSession
	AmbiguousSession = sessions.AmbiguousSession
	FrozenNode       = sessions.FrozenNode
	Selector         = sessions.Selector
	Status           = sessions.Status
	Reason           = sessions.Reason
)

// The statuses of a half-session.
const (
	Paired   = sessions.Paired
	External = sessions.External
	Broken   = sessions.Broken
)

// The reasons why no session comes up on a half-session.
const (
	NoReturn            = sessions.NoReturn
	ASNumberMismatch    = sessions.ASNumberMismatch
	ASNumberZero        = sessions.ASNumberZero
	PasswordMismatch    = sessions.PasswordMismatch
	TTLSecurityMismatch = sessions.TTLSecurityMismatch
	NobodyDials         = sessions.NobodyDials
	Overlapping         = sessions.Overlapping
	AddressShared       = sessions.AddressShared
)

// network is the sessions of one family, and what is counted of them.
type network struct{ *sessions.Network }
