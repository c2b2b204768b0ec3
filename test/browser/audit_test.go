package browser

import (
	"testing"
)

func TestAudit(t *testing.T) {
	for _, c := range []struct {
		name string
		page []byte
		says []string
	}{
		{"5 nodes", pageOf(t, auditOf(t, "edge-1", manifest(t, 5))), nil},
		{"100 nodes", pageOf(t, past(auditOf(t, "prod-eu", manifest(t, 100, faults...)))), nil},
		{"5000 nodes", pageOf(t, auditOf(t, "prod-us", manifest(t, 5000, faults...))), nil},
		{"fleet", pageOf(t, auditOf(t, "edge-1", manifest(t, 5)), past(auditOf(t, "prod-eu", manifest(t, 100, faults...)))), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, c.page, view{})
			p.says(c.says...)
			p.everywhere("audit " + c.name)
		})
	}
}
