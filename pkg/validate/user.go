package validate

import (
	"slices"
	"strings"
)

// ImpersonatedGroups returns the groups of the user that a request impersonates: the groups of
// the request, and the groups that the API server adds. It returns nil if user is "". Source of
// the rules: k8s.io/apiserver v0.37, pkg/endpoints/filters/impersonation. Before v0.36 the API
// server did not add system:nodes, which the certificate of a kubelet has.
func ImpersonatedGroups(user string, groups []string) []string {
	if user == "" {
		return nil
	}
	out := slices.Clone(groups)
	if len(groups) == 0 {
		out = fixedGroups(user)
	}
	add := "system:authenticated"
	switch {
	case user == "system:anonymous":
		add = "system:unauthenticated"
	case slices.Contains(out, "system:unauthenticated"):
		return out
	}
	if !slices.Contains(out, add) {
		out = append(out, add)
	}
	return out
}

// fixedGroups returns the groups that follow from the name of a ServiceAccount or a node.
func fixedGroups(user string) []string {
	if node, ok := strings.CutPrefix(user, "system:node:"); ok && node != "" {
		return []string{"system:nodes"}
	}
	account, _ := strings.CutPrefix(user, "system:serviceaccount:")
	if namespace, name, ok := strings.Cut(account, ":"); ok && account != user && namespace != "" && name != "" {
		return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}
	}
	return nil
}
