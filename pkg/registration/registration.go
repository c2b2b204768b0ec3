// Package registration compares the ValidatingWebhookConfiguration of a cluster with the one
// that config/webhook installs. Where they differ, the API server does not ask bgpguard about
// some or all changes, and bgpguard cannot notice it by the requests that it gets.
package registration

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/config/webhook"
)

// Kind is the kind of the object that registers a webhook.
const Kind = "ValidatingWebhookConfiguration"

// Expected is what differs between installations of the same configuration.
type Expected struct {
	// Name is the name of the ValidatingWebhookConfiguration.
	Name string
	// Namespace and Service name the Service of the webhook; Service "" accepts any.
	Namespace, Service string
	// FailurePolicy is that of the webhook that config/webhook installs with Fail, which reviews
	// Calico's objects; "" means Fail.
	FailurePolicy admissionregistrationv1.FailurePolicyType
	// Verify returns an error if no certificate of caBundle verifies the serving certificate;
	// nil if the certificate is not known.
	Verify func(caBundle []byte) error
}

// installed returns the configuration of config/webhook. Its tests parse it, so that it cannot
// fail here.
var installed = sync.OnceValue(func() *admissionregistrationv1.ValidatingWebhookConfiguration {
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(webhook.Configuration, out); err != nil {
		panic(fmt.Sprintf("the embedded %s: %v", Kind, err))
	}
	return out
})

// Differences returns how is, nil if it does not exist, asks bgpguard about fewer changes than
// the installed configuration, or in another way. It is empty if there is no difference. What
// is adds, such as more rules or other timeouts, is no difference.
func Differences(is *admissionregistrationv1.ValidatingWebhookConfiguration, e Expected) []string {
	if is == nil {
		return []string{fmt.Sprintf("%s %s does not exist: the API server asks bgpguard about no change", Kind, e.Name)}
	}
	var out []string
	for i := range installed().Webhooks {
		want := &installed().Webhooks[i]
		at := slices.IndexFunc(is.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == want.Name })
		if at < 0 {
			out = append(out, fmt.Sprintf("%s %s has no webhook %s", Kind, e.Name, want.Name))
			continue
		}
		for _, difference := range compare(&is.Webhooks[at], want, e) {
			out = append(out, fmt.Sprintf("webhook %s of %s %s: %s", want.Name, Kind, e.Name, difference))
		}
	}
	return out
}

// Describe returns differences as one sentence, with what to do.
func Describe(differences []string) string {
	return fmt.Sprintf("not enforced, because the API server does not ask bgpguard as installed: %s; restore it with `kubectl apply -k config/default`, or by the tool that installed it",
		strings.Join(differences, "; "))
}

// compare returns the differences of one webhook.
func compare(is, want *admissionregistrationv1.ValidatingWebhook, e Expected) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, missing := range uncovered(is.Rules, want.Rules) {
		add("no rule covers %s", missing)
	}
	failurePolicy := *want.FailurePolicy
	if failurePolicy == admissionregistrationv1.Fail && e.FailurePolicy != "" {
		failurePolicy = e.FailurePolicy
	}
	if got := orDefault(is.FailurePolicy, admissionregistrationv1.Fail); got != failurePolicy {
		add("failurePolicy is %s, not %s", got, failurePolicy)
	}
	if got := orDefault(is.MatchPolicy, admissionregistrationv1.Equivalent); got != *want.MatchPolicy {
		add("matchPolicy is %s, not %s", got, *want.MatchPolicy)
	}
	if is.NamespaceSelector.Size() > 0 {
		add("it has a namespaceSelector")
	}
	if is.ObjectSelector.Size() > 0 {
		add("it has an objectSelector")
	}
	if !slices.EqualFunc(is.MatchConditions, want.MatchConditions, sameCondition) {
		add("its matchConditions are not those of bgpguard")
	}
	return append(out, compareClient(&is.ClientConfig, &want.ClientConfig, e)...)
}

// compareClient returns the differences in how the API server reaches the webhook. A URL, for
// a webhook outside the cluster, needs only the path.
func compareClient(is, want *admissionregistrationv1.WebhookClientConfig, e Expected) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	path := *want.Service.Path
	switch service := is.Service; {
	case service != nil:
		if got := orDefault(service.Path, ""); got != path {
			add("the path is %q, not %q", got, path)
		}
		if got := service.Namespace + "/" + service.Name; e.Service != "" && got != e.Namespace+"/"+e.Service {
			add("the Service is %s, not %s/%s", got, e.Namespace, e.Service)
		}
	case !strings.HasSuffix(orDefault(is.URL, ""), path):
		add("the path of the URL is not %q", path)
	}
	switch {
	case len(is.CABundle) == 0 && is.Service != nil:
		add("caBundle is empty: the API server does not trust the certificate of bgpguard")
	case len(is.CABundle) == 0: // The API server verifies the certificate of a URL with the CAs of its system.
	case e.Verify != nil:
		if err := e.Verify(is.CABundle); err != nil {
			add("caBundle does not verify the certificate of bgpguard: %v", err)
		}
	}
	return out
}

func orDefault[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// sameCondition compares the expressions without regard to spaces and line breaks.
func sameCondition(a, b admissionregistrationv1.MatchCondition) bool {
	return a.Name == b.Name && slices.Equal(strings.Fields(a.Expression), strings.Fields(b.Expression))
}

// uncovered returns the resources with operations of want that no rule of is covers.
func uncovered(is, want []admissionregistrationv1.RuleWithOperations) []string {
	var out []string
	for _, rule := range want {
		for _, group := range rule.APIGroups {
			for _, version := range rule.APIVersions {
				for _, resource := range rule.Resources {
					var operations []string
					for _, operation := range rule.Operations {
						if !slices.ContainsFunc(is, func(r admissionregistrationv1.RuleWithOperations) bool {
							return covers(&r, group, version, resource, operation)
						}) {
							operations = append(operations, string(operation))
						}
					}
					if operations != nil {
						out = append(out, fmt.Sprintf("%s of %s", strings.Join(operations, ", "), qualified(resource, group, version)))
					}
				}
			}
		}
	}
	return out
}

// qualified returns a resource in the form RESOURCE.VERSION.GROUP, as kubectl accepts it.
func qualified(resource, group, version string) string {
	if group == "" {
		return resource
	}
	return resource + "." + version + "." + group
}

// covers reports whether a rule for cluster-scoped objects matches an operation.
func covers(r *admissionregistrationv1.RuleWithOperations, group, version, resource string, operation admissionregistrationv1.OperationType) bool {
	if scope := orDefault(r.Scope, admissionregistrationv1.AllScopes); scope != admissionregistrationv1.AllScopes && scope != admissionregistrationv1.ClusterScope {
		return false
	}
	name, subresource, _ := strings.Cut(resource, "/")
	matches := func(pattern string) bool {
		of, sub, _ := strings.Cut(pattern, "/")
		return (of == "*" || of == name) && (sub == subresource || sub == "*" || pattern == "*" && subresource == "")
	}
	return has(r.APIGroups, group) && has(r.APIVersions, version) && has(r.Operations, operation) && slices.ContainsFunc(r.Resources, matches)
}

// has reports whether list has value or an asterisk, which stands for all values.
func has[T ~string](list []T, value T) bool {
	return slices.Contains(list, value) || slices.Contains(list, "*")
}
