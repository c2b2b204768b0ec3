package picture

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

func TestEveryRoleAndKindOfLinkHasALookOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		looks []look
		keys  []string
	}{
		"roles": {roles, []string{topology.RoleReflector, topology.RoleClient, topology.RoleMesh, topology.RolePeer, topology.RoleIsolated, roleExternal}},
		"kinds": {kinds, []string{topology.LinkMesh, topology.LinkReflector, topology.LinkPeer, topology.LinkExternal, topology.LinkBroken}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, key := range c.keys {
				l := lookOf(c.looks, key)
				if l.dot == "" || l.d2 == "" || seen[l.dot] || seen[l.d2] {
					t.Errorf("%s has no look of its own", key)
				}
				seen[l.dot], seen[l.d2] = true, true
			}
		})
	}
}
