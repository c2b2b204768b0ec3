package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/health"
)

// healthPart is the BGP state that the nodes report.
type healthPart struct {
	// Unknown is the reason why the health is unknown, or "" if it is known.
	Unknown string
	Rates   []barPart
	Facts   table
	Tables  []table
}

// newHealthPart returns the part on h; nil if health was not read.
func newHealthPart(h *health.Health) *healthPart {
	switch {
	case h == nil:
		return nil
	case !h.Known:
		return &healthPart{Unknown: "The CalicoNodeStatuses were not read, so it is unknown which sessions are established."}
	}
	p := &healthPart{Facts: factsTable("BGP health", []string{"Figure", "Value"}, healthFacts(h))}
	for _, f := range calico.Families {
		s := h.Sessions.In(f)
		if s.SuccessRate == nil {
			continue
		}
		mark := good
		if s.Established < s.Predicted {
			mark = "high"
		}
		reason := fmt.Sprintf("%s of %s on the nodes that report.", number(s.Established), Count(s.Predicted, "predicted half-session"))
		if s.Waiting > 0 {
			reason += fmt.Sprintf(" %s %s for the end of a graceful restart.", number(s.Waiting), either(s.Waiting, "waits", "wait"))
		}
		p.Rates = append(p.Rates, barPart{"Sessions established, " + f.String(), percent(s.Established, s.Predicted), reason, newBar(s.Established, s.Predicted, mark)})
	}
	for _, t := range []table{
		sessionsTable("Predicted but not established", h.Down),
		sessionsTable("Predicted but not reported", h.Absent),
		sessionsTable("Reported but not predicted", h.Unexpected),
		tableOf("BIRDs that are not ready", []string{"Node", "Family", "State", "Version"}, slices.Values(h.NotReady.Items), h.NotReady.Total,
			func(d health.Daemon) []string { return []string{d.Node, d.Family, d.State, d.Version} }),
		tableOf("Route reflectors that are probably dead", []string{"Node", "Evidence"}, slices.Values(h.Reflectors.Items), h.Reflectors.Total,
			func(r health.Reflector) []string { return []string{r.Node, r.Message} }),
		tableOf("CalicoNodeStatuses that are not compared", []string{"Node", "Status", "Last updated", "Why"}, slices.Values(h.Outdated.Items), h.Outdated.Total,
			func(o health.Outdated) []string {
				updated := "never"
				if o.LastUpdated != nil {
					updated = moment(*o.LastUpdated)
				}
				return []string{o.Node, o.Status, updated, o.Message}
			}),
		tableOf("Starts of BIRD, slowest first", []string{"Node", "Family", "Start", "Until the last session came up", "Established", "Not established"},
			slices.Values(h.Restarts.Measured.Items), h.Restarts.Measured.Total,
			func(r health.Restart) []string {
				return []string{r.Node, r.Family, moment(r.Boot), Count(r.Seconds, "second"), number(r.Established), number(r.NotEstablished)}
			}),
	} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	return p
}

func sessionsTable(title string, list health.List[health.Session]) table {
	return tableOf(title, []string{"Node", "Family", "Peer", "Type", "State", "Since", "From"}, slices.Values(list.Items), list.Total,
		func(s health.Session) []string {
			peer := s.PeerIP
			if s.PeerNode != "" {
				peer += " (" + s.PeerNode + ")"
			}
			return []string{s.Node, s.Family, peer, s.Type, s.State, s.Since, names(s.Sources, len(s.Sources))}
		})
}

// healthFacts returns how many nodes report, and the state of BIRD.
func healthFacts(h *health.Health) []fact {
	reports := number(h.Reporting) + " of " + number(h.Nodes)
	if n := h.Missing.Nodes; n > 0 {
		reports += "; there is no CalicoNodeStatus for " + nodes(n, h.Missing.Sample)
	}
	if n := h.Outdated.Total; n > 0 {
		reports += "; " + Count(n, "status", "statuses") + " not compared"
	}
	out := []fact{{"Nodes that report", reports}}
	for _, f := range calico.Families {
		if d := h.Daemons.In(f); d.Ready+d.NotReady > 0 {
			out = append(out, fact{"BIRD " + f.String(), fmt.Sprintf("%s ready, %s not ready", number(d.Ready), number(d.NotReady))})
		}
	}
	if r := h.Restarts; r.MedianSeconds != nil && r.SlowestSeconds != nil {
		out = append(out, fact{"Starts of BIRD", fmt.Sprintf("%s until the last session came up (median), %s (slowest), of %s",
			Count(*r.MedianSeconds, "second"), Count(*r.SlowestSeconds, "second"), Count(r.Measured.Total, "start"))})
	}
	return out
}

// percent returns n/total in percent, rounded down. total must not be 0.
func percent(n, total int) string {
	tenths := n * 1000 / total
	return strings.TrimSuffix(strconv.FormatFloat(float64(tenths)/10, 'f', 1, 64), ".0") + " %"
}
