package property

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// TestDecisionsDoNotDependOnEarlierOnes decides random changes one after the other, most of which are made, by one engine for
// all of them, and by an engine that has decided nothing before. Both decisions must be equal: whatever an engine reuses, it
// would find again. It also evaluates policies on all BGPPeers, and on updates of fields that they are not about; see METADATA
// custom.eachBGPPeer and custom.fields. Half of the changes break or repair nothing. Users differ, and other changes can be pending.
func TestDecisionsDoNotDependOnEarlierOnes(t *testing.T) {
	t.Parallel()
	const steps = 10
	all, complete := clusters(t), inFull(t)
	engine := validate.NewEngine(library(t))
	decided, worse, silent := 0, 0, 0
	for walk := range uint64(max(1, share(7)/steps)) {
		r := rand.New(rand.NewPCG(*seed+2, walk))
		c := all[r.IntN(len(all))]
		var faults []*fault
		s := state.New(c.objects(t)...)
		for step := range steps {
			f, after := c.step(r, faults, step)
			if after == nil {
				continue
			}
			request := validate.Request{Change: c.change(t, f.id, faults, after), User: users[r.IntN(len(users))], DryRun: r.IntN(2) == 0}
			if other, then := c.step(r, faults, step+steps); then != nil && other.id != f.id && r.IntN(4) == 0 {
				request.Pending = []validate.Pending{{Change: c.change(t, other.id, faults, then), User: users[0]}}
			}
			fresh := validate.NewEngine(complete).Decide(t.Context(), s, request)
			got, want := everything(engine.Decide(t.Context(), s, request)), everything(fresh)
			if got != want {
				t.Errorf("seed %d, walk %d, step %d, cluster %q with %s, user %q, %d pending: %s\nwith earlier decisions: %s\nwithout: %s",
					*seed, walk, step, c.name, names(faults), request.User, len(request.Pending), show(request.Change), got, want)
			}
			decided++
			if slices.ContainsFunc(fresh.Verdicts, func(v validate.Verdict) bool { return v.Relation.Worse() }) {
				worse++
			}
			if len(fresh.Verdicts) == 0 {
				silent++
			}
			if r.IntN(4) > 0 {
				faults, s = after, s.Apply(request.Change)
			}
		}
	}
	if worse < decided/10 || silent < decided/20 {
		t.Errorf("of %d changes, %d make something worse and %d have no violation: the test checks little", decided, worse, silent)
	}
}

// inFull compiles the policies of the library without the METADATA that restricts on what they are evaluated.
func inFull(t *testing.T) *policy.Set {
	t.Helper()
	embedded, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	restricts := regexp.MustCompile(`(?m)^# {3}(eachBGPPeer: true\n|fields:\n(# {5}.*\n)+)`)
	complete, docs := embedded, []policy.Document(nil)
	for _, d := range embedded.Definitions() {
		docs = append(docs, policy.Default(d))
		text := d.Modules()[d.File]
		if !restricts.MatchString(text) {
			continue
		}
		source := policy.Source{Name: "in full", Modules: map[string]string{d.File: restricts.ReplaceAllString(text, "")}}
		if complete, err = complete.With(source); err != nil {
			t.Fatal(err)
		}
	}
	if complete == embedded {
		t.Fatal("no policy has such METADATA")
	}
	policies, err := complete.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// everything returns what a decision shows to users and programs.
func everything(d *validate.Decision) string {
	var text strings.Builder
	fmt.Fprintf(&text, "allowed %t, alters %t, not enforced %q\n%s\n%s\nproblems %v, advice %q, failures %v\n",
		d.Allowed, d.Alters, d.NotEnforced, d.Message(), strings.Join(d.Warnings(), "\n"), d.Problems, d.Advice, d.Failures)
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		fmt.Fprintf(&text, "%s %s/%s %g: %s; %s; gained %d %v, details %v, objects %v, nodes %v\n", v.Relation, v.Violation.Policy, v.Violation.ID, v.Violation.Size,
			v.Applied(), v.Text(), v.Gained, v.Sample, v.Violation.Details, v.Violation.Objects, v.Nodes())
	}
	return text.String()
}

// users are an administrator, and components that write Nodes.
var users = []string{"operator", "system:node:" + nodeName(0), "system:serviceaccount:kube-system:calico-node"}

// step adds a fault or an edit without effect to those of a state, or removes one. It returns what it added or removed, and
// all of them afterwards, nil if they cannot be in one state.
func (c *cluster) step(r *rand.Rand, before []*fault, number int) (changed *fault, after []*fault) {
	if len(before) > 0 && r.IntN(3) == 0 {
		i := r.IntN(len(before))
		return before[i], without(before, i)
	}
	f := &c.faults[r.IntN(len(c.faults))]
	if r.IntN(2) == 0 {
		f = c.edit(r, number)
	}
	if slices.ContainsFunc(before, f.clash) || slices.Contains(before, f) {
		return f, nil
	}
	return f, append(slices.Clone(before), f)
}

// edit returns a change of a field that decides no session and no route.
func (c *cluster) edit(r *rand.Rand, number int) *fault {
	id := c.ids[r.IntN(len(c.ids))]
	paths := []string{"metadata labels example.com/owner", "metadata annotations example.com/ticket"}
	if id.Kind == calico.KindNode {
		paths = append(paths, "metadata annotations projectcalico.org/labels", "spec podCIDR")
	}
	path := paths[r.IntN(len(paths))]
	return &fault{name: fmt.Sprintf("%s: %s", id, path), id: id, fields: map[string]any{path: fmt.Sprintf(`{"number":"%d"}`, number)}}
}
