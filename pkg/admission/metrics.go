package admission

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_requests_total",
		Help: "Reviews by result: allowed, denied, invalid (the request cannot be evaluated because of its content), busy (too many other changes are in flight), full (a BGPPeer for which the memory of bgpguard does not suffice) or error (bgpguard could not evaluate it; changes of Nodes are then allowed).",
	}, []string{"result", "operation", "kind", "dry_run"})
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_decisions_total",
		Help: "Requests for which a policy found a new or worse violation, by policy and by the action that was taken.",
	}, []string{"policy", "action", "dry_run"})
	exemptions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_exemptions_total",
		Help: "Requests that a policy would have denied if the user were not exempt from it.",
	}, []string{"policy", "dry_run"})
	exceptedChanges = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_excepted_changes_total",
		Help: "Requests that a policy would have denied without a BGPException.",
	}, []string{"policy", "dry_run"})
	policyFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_policy_failures_total",
		Help: "Requests for which a policy could not be evaluated.",
	}, []string{"policy"})
	panics = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bgpguard_panics_total",
		Help: "Panics while bgpguard answered a request. The log has the stack of each.",
	})
	duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "bgpguard_request_duration_seconds",
		Help: "Time from a decoded request to its answer, without the network.",
		// From a cached result to the deadline.
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
)

var waits = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name: "bgpguard_reservation_wait_seconds",
	Help: "Time that changes of the topology, and denied changes, waited for the outcome of earlier changes.",
	// From no wait to the deadline.
	Buckets: []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
})

// The reasons to reject a review before it is read.
const (
	rejectedFull       = "full"       // too many wait already
	rejectedWaited     = "waited"     // it waited until its deadline
	rejectedLarge      = "large"      // the body is too large
	rejectedSlow       = "slow"       // the body did not arrive in time
	rejectedUnreadable = "unreadable" // the connection ended, for example
)

// The reasons why a change of a Node is allowed without an evaluation.
const (
	unevaluatedState    = "state"       // the state is not known, or stale
	unevaluatedTime     = "deadline"    // the deadline of the request passed
	unevaluatedPolicy   = "policy"      // a policy failed for another reason
	unevaluatedInFlight = "reservation" // it was not decided together with changes in flight
	unevaluatedPanic    = "panic"
)

var (
	rejectedReviews = withReasons(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_rejected_reviews_total",
		Help: "Reviews that were rejected before they were read, by reason: full (too many wait already), waited (until the deadline), large (more than 3 MiB), slow (the body did not arrive in time) or unreadable. The failurePolicy of the webhook decides about the change.",
	}, []string{"reason"}), rejectedFull, rejectedWaited, rejectedLarge, rejectedSlow, rejectedUnreadable)
	inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bgpguard_requests_in_flight",
		Help: "Reviews that are being read or answered, without those that wait to be read.",
	})
	unevaluatedNodes = withReasons(prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_unevaluated_node_changes_total",
		Help: "Changes of Nodes that were allowed although they could not be evaluated, without dry runs, by reason: state (not known, or stale), deadline, policy (it failed), reservation (not decided together with changes in flight) or panic.",
	}, []string{"reason"}), unevaluatedState, unevaluatedTime, unevaluatedPolicy, unevaluatedInFlight, unevaluatedPanic)
)

// withReasons creates the series of all reasons, so that an alert sees their first increase.
func withReasons(of *prometheus.CounterVec, reasons ...string) *prometheus.CounterVec {
	for _, reason := range reasons {
		of.WithLabelValues(reason)
	}
	return of
}

// Collectors returns the metrics of this package. All handlers of the process share them.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{requests, decisions, exemptions, exceptedChanges, policyFailures, panics, duration, waits, rejectedReviews, inFlight, unevaluatedNodes}
}

// count counts the request; a label marks dry runs. No label holds a value that users can
// choose freely, such as a name.
func (r *reply) count(took time.Duration) {
	dry := strconv.FormatBool(dryRun(r.request))
	kind := "other"
	if r.id.Kind != "" {
		kind = string(r.id.Kind)
	}
	requests.WithLabelValues(r.result, operationLabel(r), kind, dry).Inc()
	duration.Observe(took.Seconds())
	if r.result == resultError && r.notEnforced != "" && !dryRun(r.request) {
		unevaluatedNodes.WithLabelValues(r.cause).Inc()
	}
	if r.decision == nil {
		return
	}
	for _, action := range violation.Actions {
		taken := action
		if action == violation.Deny && r.notEnforced != "" {
			taken = violation.Warn
		}
		for _, policy := range r.policies(action) {
			decisions.WithLabelValues(policy, string(taken), dry).Inc()
		}
	}
	for _, policy := range r.decision.Exempted() {
		exemptions.WithLabelValues(policy, dry).Inc()
	}
	for _, o := range r.overridden() {
		for _, policy := range o.Policies {
			if o.Exception != nil {
				exceptedChanges.WithLabelValues(policy, dry).Inc()
			}
		}
	}
	for _, f := range r.decision.Failures {
		policyFailures.WithLabelValues(f.Policy).Inc()
	}
}

// operationLabel returns the value of the operation label, from a bounded set.
func operationLabel(r *reply) string {
	switch op := string(r.request.Operation); op {
	case "CREATE", "UPDATE", "DELETE":
		return op
	default:
		return "other"
	}
}
