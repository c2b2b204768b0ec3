package validate

import (
	"slices"
	"testing"
)

func TestImpersonatedGroups(t *testing.T) {
	for name, test := range map[string]struct {
		user   string
		groups []string
		want   []string
	}{
		"no user":                           {"", []string{"network"}, nil},
		"a user":                            {"jane", nil, []string{"system:authenticated"}},
		"a user with a group":               {"jane", []string{"network"}, []string{"network", "system:authenticated"}},
		"a user who is authenticated":       {"jane", []string{"system:authenticated", "network"}, []string{"system:authenticated", "network"}},
		"a user who is unauthenticated":     {"jane", []string{"system:unauthenticated"}, []string{"system:unauthenticated"}},
		"the anonymous user":                {"system:anonymous", nil, []string{"system:unauthenticated"}},
		"a ServiceAccount":                  {"system:serviceaccount:flux:sync", nil, []string{"system:serviceaccounts", "system:serviceaccounts:flux", "system:authenticated"}},
		"a ServiceAccount with a group":     {"system:serviceaccount:flux:sync", []string{"network"}, []string{"network", "system:authenticated"}},
		"a ServiceAccount without a name":   {"system:serviceaccount:flux", nil, []string{"system:authenticated"}},
		"a node":                            {"system:node:worker-1", nil, []string{"system:nodes", "system:authenticated"}},
		"a node with a group":               {"system:node:worker-1", []string{"network"}, []string{"network", "system:authenticated"}},
		"a prefix of a node without a name": {"system:node:", nil, []string{"system:authenticated"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ImpersonatedGroups(test.user, test.groups); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
