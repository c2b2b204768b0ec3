package topology

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// TestRandomStatesHaveEverythingInThem verifies that the random states contain every
// kind of half-session with every status and reason.
func TestRandomStatesHaveEverythingInThem(t *testing.T) {
	seen := map[string]int{}
	forRandomStates(t, 11, seeds, func(_ *rand.Rand, objects []calico.Object) string {
		m := newNaive(state.New(objects...))
		for _, s := range m.slots {
			kind, _, _ := strings.Cut(s.protocol(), "_")
			end := string(s.status)
			if s.status == Broken {
				end = string(s.reason)
			}
			seen[kind+" "+end]++
			if s.ambiguous() {
				seen["ambiguous "+string(s.status)]++
			}
			if s.client() {
				seen["client "+string(s.status)]++
			}
		}
		return ""
	})
	want := []string{
		"Global ASNumberMismatch", "Global ASNumberZero", "Global AddressShared", "Global External", "Global NoReturn", "Global NobodyDials",
		"Global Overlapping", "Global Paired", "Global PasswordMismatch", "Global TTLSecurityMismatch",
		"Local External",
		"Mesh ASNumberMismatch", "Mesh ASNumberZero", "Mesh AddressShared", "Mesh NobodyDials", "Mesh NotOnLink", "Mesh Overlapping", "Mesh Paired", "Mesh PasswordMismatch", "Mesh TTLSecurityMismatch",
		"Node ASNumberMismatch", "Node ASNumberZero", "Node AddressShared", "Node External", "Node NoReturn",
		"Node Overlapping", "Node Paired", "Node PasswordMismatch", "Node TTLSecurityMismatch",
		"ambiguous Broken", "ambiguous External", "ambiguous Paired", "client Broken", "client External", "client Paired",
	}
	for _, one := range want {
		if seen[one] == 0 {
			t.Errorf("no half-session is %s, got %s", one, fmt.Sprint(seen))
		}
	}
}
