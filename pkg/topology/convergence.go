package topology

import (
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// BIRD's timers in Calico, in seconds. Calico's template sets connect delay, connect
// retry and error wait (bird.cfg.template). The others are BIRD's defaults
// (proto/bgp/config.Y and nest/proto.c of BIRD 1.6).
const (
	connectDelay        = 2
	connectRetry        = 5
	errorWait           = 5 // doubled by each further error
	errorWaitMax        = 30
	holdTime            = 240
	defaultRestart      = 120
	gracefulRestartWait = 240
	// carriedRestart are the bits of a restart time on the wire (RFC 4724 section 3).
	// BIRD drops higher bits.
	carriedRestart = 1<<12 - 1
)

// convergence estimates how long routes are missing. A starting BIRD does not write
// the routes that it learned to the kernel until every configured peer has sent its
// End-of-RIB (RFC 4724 section 4.1) or its graceful-restart wait is over. One peer that
// does not answer is enough for the whole wait.
func (t *Topology) convergence() *Convergence {
	c := &Convergence{Waiting: nodeSet(t.index, t.waiting, t.sessionMeasures.add("waiting", nodesInAny(func(t *Topology) func(int) bool { return within(t.waiting) })))}
	c.Start = Delay{connectDelay + connectRetry, fmt.Sprintf(
		"every configured session can come up: BIRD connects %d seconds after the start, retries every %d seconds, and uses routes once every peer has sent its End-of-RIB", connectDelay, connectRetry)}
	if c.Waiting.Nodes > 0 {
		c.Start = Delay{gracefulRestartWait, fmt.Sprintf(
			"a node with a peer that is down, or with a half-session that cannot come up for another reason than its AS numbers, uses no learned route until BIRD's graceful-restart wait of %d seconds is over", gracefulRestartWait)}
	}
	restart := -1 // the shortest restart time that a route reflector advertises; -1 for none
	for _, n := range t.networks {
		for i := range n.Links {
			l := &n.Links[i]
			if !n.Classes.List[l.From].Reflector() || !l.Established() {
				continue
			}
			for _, w := range l.Protocols[0].Ways {
				s := w.Settings.Restart
				if s < 0 { // Unset, or a time that BIRD rejects.
					s = defaultRestart
				}
				s &= carriedRestart
				if restart < 0 || s < restart {
					restart = s
				}
			}
		}
	}
	if restart < 0 {
		none := Delay{0, "no node has a session to a route reflector"}
		c.ReflectorCrash, c.ReflectorStop, c.ReflectorSilence = none, none, none
		return c
	}
	c.ReflectorCrash = Delay{restart, fmt.Sprintf("its peers keep the routes for the graceful restart time of %s that it advertised, then drop them", text.Count(restart, "second"))}
	c.ReflectorStop = Delay{0, fmt.Sprintf("its peers drop the routes at once and reconnect after %d seconds", errorWait)}
	c.ReflectorSilence = Delay{holdTime, fmt.Sprintf("its peers receive nothing for the hold time of %d seconds, then drop the routes", holdTime)}
	return c
}
