package validate

import (
	"fmt"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func TestAQuarantinedPolicyOnlyWarns(t *testing.T) {
	d := &Decision{Allowed: true, Failures: []Failure{{Policy: "mine", Action: violation.Deny, Err: fmt.Errorf("%w: division by zero", policy.ErrQuarantined)}}}
	if d.denied() {
		t.Error("the change is denied")
	}
	want := "[mine] not enforced: quarantined: division by zero"
	if got := d.Warnings(); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
