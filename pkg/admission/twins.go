package admission

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Limits of twins. The second review follows the first within the API server's request
// timeout.
const (
	twinAge = 30 * time.Second
	maxTwin = 512
)

// twins recognises the second review of a change, so that it is counted and logged
// once: Calico's API server sends the change as projectcalico.org/v3 for the user, and
// kube-apiserver sends what Calico's API server then writes as crd.projectcalico.org/v1.
// Decisions do not depend on it: the two answers agree because the two changes are equal.
type twins struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[twin]time.Time
}

// twin identifies a change by the data that both reviews contain.
type twin struct {
	operation state.Operation
	id        calico.ID
	dryRun    bool
	after     [sha256.Size]byte
}

func newTwins(now func() time.Time) *twins { return &twins{now: now, seen: map[twin]time.Time{}} }

// second reports whether the change was reviewed in the other group before. Each first
// review has one second review: a change that is made again is counted again.
func (t *twins) second(req *admission.Request, c state.Change) bool {
	v3 := req.Kind.Group == calico.GroupV3
	if !v3 && (req.Kind.Group != calico.GroupV1 || !calico.IsAPIServer(req.UserInfo.Username)) {
		return false
	}
	key, ok := keyOf(req, c)
	if !ok {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if v3 {
		t.remember(key)
		return false
	}
	at, found := t.seen[key]
	delete(t.seen, key)
	return found && t.now().Sub(at) <= twinAge
}

func (t *twins) remember(key twin) {
	now := t.now()
	if len(t.seen) >= maxTwin {
		for k, at := range t.seen {
			if now.Sub(at) > twinAge {
				delete(t.seen, k)
			}
		}
	}
	if len(t.seen) >= maxTwin {
		return // The change is counted twice.
	}
	t.seen[key] = now
}

func keyOf(req *admission.Request, c state.Change) (twin, bool) {
	// The operation of the change, not of the request, is the same in both reviews.
	key := twin{operation: c.Operation(), id: c.ID(), dryRun: dryRun(req)}
	if c.After == nil {
		return key, true
	}
	m := calico.MetadataOf(c.After) // nil for a Node, which Calico's API server does not serve.
	if m == nil {
		return key, false
	}
	// Maps are encoded in the order of their keys.
	text, err := json.Marshal([]any{m.Labels, m.Annotations, m.Spec})
	key.after = sha256.Sum256(text)
	return key, err == nil
}
