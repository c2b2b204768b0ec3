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
		Help: "Reviews that could be read, by what became of them: allowed, denied, invalid (what they say cannot be judged) or error (the guard could not judge; a Node is let through then).",
	}, []string{"result", "operation", "kind", "dry_run"})
	decisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_decisions_total",
		Help: "Requests for which a policy found something new or worse, by the policy and what followed from it.",
	}, []string{"policy", "action", "dry_run"})
	exemptions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_exemptions_total",
		Help: "Requests that a policy would have denied, had the user not been exempt from it.",
	}, []string{"policy", "dry_run"})
	policyFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bgpguard_policy_failures_total",
		Help: "Requests for which a policy could not be evaluated.",
	}, []string{"policy"})
	duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "bgpguard_request_duration_seconds",
		Help: "Time from a decoded request to its answer: evaluation, without the network.",
		// From a cached result up to the deadline.
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
)

// Collectors returns the metrics of this package. They are the process's and
// not a handler's.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{requests, decisions, exemptions, policyFailures, duration}
}

// count counts a dry run like the rest, told apart by a label. No label holds
// what a user may choose freely, such as a name.
func (r *reply) count(took time.Duration) {
	dry := strconv.FormatBool(dryRun(r.request))
	kind := "other"
	if r.id.Kind != "" {
		kind = string(r.id.Kind)
	}
	requests.WithLabelValues(r.result, operationLabel(r), kind, dry).Inc()
	duration.Observe(took.Seconds())
	if r.decision == nil {
		return
	}
	for _, action := range violation.Actions {
		followed := action
		if action == violation.Deny && r.notEnforced != "" {
			followed = violation.Warn
		}
		for _, policy := range r.policies(action) {
			decisions.WithLabelValues(policy, string(followed), dry).Inc()
		}
	}
	for _, policy := range r.decision.Exempted {
		exemptions.WithLabelValues(policy, dry).Inc()
	}
	for _, f := range r.decision.Failures {
		policyFailures.WithLabelValues(f.Policy).Inc()
	}
}

// operationLabel takes only what a review may hold.
func operationLabel(r *reply) string {
	switch op := string(r.request.Operation); op {
	case "CREATE", "UPDATE", "DELETE":
		return op
	default:
		return "other"
	}
}
