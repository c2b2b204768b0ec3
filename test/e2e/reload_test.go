//go:build system

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	reloads = 200
	askers  = 4 // that ask side by side while the policy changes
)

// serialPolicy denies names that begin with "always-", and of "even-" and "odd-"
// those that its serial number is. Its message tells the number.
const serialPolicy = `# METADATA
# title: A policy whose denials tell which version of it denied
# custom:
#   severity: low
#   judges: change
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       serial: {type: integer, default: 0}
package policies.serial

violation contains {"id": "name", "size": 1, "msg": sprintf("serial %d.", [input.parameters.serial])} if {
	input.change.operation == "CREATE"
	some prefix in {"always-", ["even-", "odd-"][input.parameters.serial % 2]}
	startswith(input.change.name, prefix)
}
`

// reload is a run of the test. The policy is changed only when the change before
// has been seen in a decision. So a decision may rest on no version before the
// last that anybody had seen when it was asked for, and on none after the last
// that was written when it came: two versions, unless it took so long that more
// changes were made meanwhile.
type reload struct {
	client dynamic.Interface
	// seen is the highest serial number that any decision has told, written the
	// highest that was sent to the API server.
	seen, written atomic.Int64
	asked         atomic.Int64
	mu            sync.Mutex
	wrong         []string
}

// resource is one of crd.projectcalico.org/v1.
func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: name}
}

func TestHotReload(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1)
	config := rest.CopyConfig(c.Config)
	config.QPS = -1 // As fast as the answers come.
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &reload{client: client}
	c.allowed(t, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true"), "apply -f -")
	c.allowed(t, bgpPolicy("serial", fields{"rego": rego("serial.rego", serialPolicy)}), "apply -f -")
	c.until(t, 1, c.object("BGPPeer", "always-1", "nodeSelector: all()"), "create -f - --dry-run=server")

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for asker := range askers {
		wg.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				r.ask(t.Context(), asker, turn)
			}
		})
	}
	var longest time.Duration
	for serial := int64(1); serial <= reloads && !r.failed(); serial++ {
		took, err := r.change(t.Context(), serial)
		if err != nil {
			t.Error(err)
			break
		}
		longest = max(longest, took)
	}
	stop()
	wg.Wait()
	if r.seen.Load() != reloads {
		t.Errorf("the last version that decided is %d, want %d", r.seen.Load(), reloads)
	}
	for _, text := range r.wrong {
		t.Error(text)
	}
	t.Logf("%d requests during %d changes; the slowest change was in force %s after its write was sent", r.asked.Load(), reloads, longest.Round(time.Millisecond))
}

// change writes another serial number and waits until it decides.
func (r *reload) change(ctx context.Context, serial int64) (time.Duration, error) {
	began := time.Now()
	r.written.Store(serial)
	patch := fmt.Sprintf(`{"spec":{"parameters":{"serial":%d}}}`, serial)
	policies := schema.GroupVersionResource{Group: "policy.bgpguard.io", Version: "v1alpha1", Resource: "bgppolicies"}
	if _, err := r.client.Resource(policies).Patch(ctx, "serial", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		return 0, fmt.Errorf("change %d: %w", serial, err)
	}
	for r.seen.Load() < serial {
		if time.Since(began) > time.Minute {
			return 0, fmt.Errorf("change %d is not in force after a minute", serial)
		}
		r.ask(ctx, askers, 0)
	}
	return time.Since(began), nil
}

// ask asks for a change as a dry run, of which four kinds take turns.
func (r *reload) ask(ctx context.Context, asker, turn int) {
	kind, name, spec := "BGPPeer", "", map[string]any{"nodeSelector": "all()", "peerSelector": "all()"}
	switch turn % 4 {
	case 0:
		name = "always"
	case 1:
		name = []string{"even", "odd"}[turn/4%2]
	case 2:
		name = "harmless"
	case 3:
		kind, name, spec = "BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false}
	}
	oldest := r.seen.Load()
	err := r.send(ctx, kind, name, asker, spec)
	newest := r.written.Load()
	r.asked.Add(1)
	if problem := r.judge(name, err, oldest, newest); problem != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.wrong = append(r.wrong, problem)
	}
}

func (r *reload) send(ctx context.Context, kind, name string, asker int, spec map[string]any) error {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "spec": spec}}
	dry := []string{metav1.DryRunAll}
	if kind == "BGPConfiguration" {
		o.SetName(name)
		_, err := r.client.Resource(resource("bgpconfigurations")).Apply(ctx, name, o, metav1.ApplyOptions{FieldManager: "asker", Force: true, DryRun: dry})
		return err
	}
	o.SetName(fmt.Sprintf("%s-%d", name, asker))
	_, err := r.client.Resource(resource("bgppeers")).Create(ctx, o, metav1.CreateOptions{DryRun: dry})
	return err
}

// judge says what is wrong with an answer, "" where it is that of a version from
// oldest to newest.
func (r *reload) judge(name string, err error, oldest, newest int64) string {
	text := "allowed"
	if err != nil {
		text = err.Error()
	}
	asked := fmt.Sprintf("%s, with versions %d to %d", name, oldest, newest)
	if err != nil && !strings.Contains(text, " denied the request: [") {
		return fmt.Sprintf("%s: failed: %s", asked, text)
	}
	_, told, denied := strings.Cut(text, "[serial] serial ")
	var serial int64
	if denied {
		if _, err := fmt.Sscanf(told, "%d.", &serial); err != nil {
			return fmt.Sprintf("%s: %v: %s", asked, err, text)
		}
		for known := r.seen.Load(); serial > known && !r.seen.CompareAndSwap(known, serial); known = r.seen.Load() {
		}
		if serial < oldest || serial > newest {
			return fmt.Sprintf("%s: decided by version %d: %s", asked, serial, text)
		}
	}
	right := false
	switch name {
	case "always":
		right = denied
	case "even", "odd":
		parity := map[string]int64{"even": 0, "odd": 1}[name]
		if denied {
			right = serial%2 == parity
		} else { // Only by a version of the other parity.
			right = err == nil && (oldest < newest || oldest%2 != parity)
		}
	case "harmless":
		right = err == nil
	case "default": // Denied by a policy that does not change.
		right = strings.Contains(text, "["+required+"]")
	}
	if right {
		return ""
	}
	return fmt.Sprintf("%s: wrong: %s", asked, text)
}

func (r *reload) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.wrong) > 0
}
