package reserve

import (
	"testing"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// FuzzRecord checks that no content of the ConfigMap ends a replica, and that what a replica writes
// after it has read the content can be read.
func FuzzRecord(f *testing.F) {
	const node = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","labels":{"rack":"a"}}}`
	f.Add([]byte(`{"reservations":[{"kind":"Node","name":"n","operation":"CREATE","version":7,"object":`+node+`,"user":"jane","group":"","replica":"a","time":"2026-03-14T19:00:00Z"}]}`), "8")
	f.Add([]byte(`{"reservations":[{"kind":"BGPPeer","name":"p","operation":"DELETE","version":7,"settled":9}],"settled":[{"kind":"BGPPeer","name":"q","version":5}]}`), "8")
	f.Add([]byte(`{"reservations":[null],"settled":null}`), "x")
	f.Add([]byte(`{"reservations":[{"kind":"BGPPeer","name":"p","operation":"UPDATE","object":{}}]}`), "18446744073709551616")
	f.Fuzz(func(t *testing.T, record []byte, version string) {
		l := NewLedger(&memory{}, "a", logr.Discard())
		l.Update(record, version)
		l.Confirm(calico.KindBGPPeer, "9", func(func(string, string) bool) {})
		view := l.Peek()
		for _, r := range view.Open {
			if r.Operation != state.Delete && r.After() == nil {
				t.Errorf("the reservation of %s has no object", r.ID())
			}
		}
		l.Keep(deletionOf(t, "x"))
		l.mu.Lock()
		written, err := l.encode()
		l.mu.Unlock()
		if err != nil {
			return // More than fits.
		}
		if _, _, err := l.decode(written); err != nil {
			t.Errorf("%s: what is written does not parse: %v", written, err)
		}
	})
}
