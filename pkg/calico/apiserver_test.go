package calico

import "testing"

func TestTheUserOfCalicosAPIServer(t *testing.T) {
	for user, want := range map[string]bool{
		"system:serviceaccount:calico-apiserver:calico-apiserver": true,
		"system:serviceaccount:calico-system:calico-apiserver":    true,
		"system:serviceaccount:tigera-system:tigera-apiserver":    true,
		"system:serviceaccount:default:calico-apiserver":          false,
		"system:serviceaccount:calico-system:calico-node":         false,
		"calico-apiserver": false,
		"jane":             false,
		"":                 false,
	} {
		if got := IsAPIServer(user); got != want {
			t.Errorf("%q: got %t", user, got)
		}
	}
}
