package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// addTo adds the flags of "plan --to".
func (o *planOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "`design` to plan: "+strings.Join(designs(), ", ")+", or a file or directory with the wanted objects")
	f.IntVar(&o.design.Reflectors, "reflectors", 0, "`number` of route reflectors, of each zone with --per-zone (default: chosen by the number of nodes and zones)")
	f.StringVar(&o.design.Select, "select", "", "`LABEL`, LABEL=VALUE or selector of Calico for the nodes that may become route reflectors (default: all)")
	f.BoolVar(&o.design.PerZone, "per-zone", false, "give each zone route reflectors of its own")
	f.StringArrayVar(&o.routers, "tor", nil, "router of a rack for per-rack, as `RACK=ADDRESS,AS`, in addition to the external peers of the state; repeatable")
	f.StringVar(&o.design.RackLabel, "rack-label", "", "`label` of nodes whose value is the rack (default: "+plan.DefaultRackLabel+")")
	f.BoolVar(&o.prune, "prune", false, "delete the objects that the wanted objects of --to do not have, of the same kinds; never Nodes")
	complete(cmd, "to", designs())
}

func designs() []string {
	out := make([]string, len(plan.Goals))
	for i, g := range plan.Goals {
		out[i] = string(g)
	}
	return out
}

// isDesign reports whether --to is a design, not a path.
func (o *planOptions) isDesign() bool { return slices.Contains(designs(), o.to) }

// dir returns the directory of -o, "" if -o is a format.
func (o *planOptions) dir() string {
	if slices.Contains(report.PlanFormats.Names(), o.output) {
		return ""
	}
	return o.output
}

func (o *planOptions) validateTo() error {
	if !o.isDesign() {
		if _, err := os.Stat(o.to); err != nil {
			return fmt.Errorf("flag --to must be one of %s, or a file or directory with the wanted objects: %w", strings.Join(designs(), ", "), plainPath(err))
		}
	}
	for flag, design := range o.designFlags() {
		if o.to != design {
			return fmt.Errorf("flag --%s requires --to %s", flag, design)
		}
	}
	for _, text := range o.routers {
		r, err := parseRouter(text)
		if err != nil {
			return err
		}
		o.design.Routers = append(o.design.Routers, r)
	}
	switch {
	case o.design.RackLabel != "" && len(o.routers) == 0:
		return errors.New("flag --rack-label requires --tor: the label selects the nodes of a router")
	case o.prune && o.isDesign():
		return errors.New("flag --prune requires a file or directory in --to: a design deletes what it replaces by itself")
	case o.design.Reflectors < 0:
		return fmt.Errorf("flag --reflectors must be positive, is %d", o.design.Reflectors)
	}
	if err := o.validateDir(); err != nil {
		return err
	}
	return o.changeOptions.validate()
}

// designFlags returns the flags that are set and belong to one design, with the design.
func (o *planOptions) designFlags() map[string]string {
	out := map[string]string{}
	for flag, is := range map[string]struct {
		set    bool
		design string
	}{
		"reflectors": {o.design.Reflectors != 0, plan.RouteReflectors}, "select": {o.design.Select != "", plan.RouteReflectors},
		"per-zone": {o.design.PerZone, plan.RouteReflectors}, "tor": {len(o.routers) > 0, plan.PerRack}, "rack-label": {o.design.RackLabel != "", plan.PerRack},
	} {
		if is.set {
			out[flag] = is.design
		}
	}
	return out
}

// parseRouter returns the router of RACK=ADDRESS,AS.
func parseRouter(text string) (plan.Router, error) {
	invalid := func(why string) (plan.Router, error) {
		return plan.Router{}, fmt.Errorf("flag --tor must be RACK=ADDRESS,AS, for example r1=192.0.2.1,65001, is %q: %s", text, why)
	}
	rack, rest, ok := strings.Cut(text, "=")
	address, number, both := strings.Cut(rest, ",")
	if !ok || !both || rack == "" {
		return invalid("a part is missing")
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return invalid("the address is not an IP address")
	}
	as, err := strconv.ParseUint(number, 10, 32)
	if err != nil || as == 0 {
		return invalid("the AS number is not from 1 to 4294967295")
	}
	return plan.Router{Rack: rack, Address: a, AS: uint32(as)}, nil
}

// mistyped is the number of edits up to which -o counts as a mistyped format.
const mistyped = 2

// validateDir returns an error if -o is probably a mistyped format, or a directory that must
// not be overwritten.
func (o *planOptions) validateDir() error {
	dir := o.dir()
	if dir == "" {
		return nil
	}
	for _, name := range append(report.PlanFormats.Names(), report.HTML) {
		if !strings.ContainsRune(dir, '/') && levenshtein.ComputeDistance(dir, name) <= mistyped {
			return fmt.Errorf("flag -o must be one of %s, or a directory, is %q; write ./%s for a directory of that name", strings.Join(report.PlanFormats.Names(), ", "), dir, dir)
		}
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("flag -o: %w", plainPath(err))
	case len(entries) == 0:
		return nil
	}
	if _, err := readPlan(dir); err != nil {
		return fmt.Errorf("flag -o: directory %s is not empty and has no plan: use another one (%w)", dir, err)
	}
	return nil
}

// readPlan reads the plan in a directory.
func readPlan(dir string) (*plan.Plan, error) {
	path := filepath.Join(dir, plan.File)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, plainPath(err)
	}
	p, err := plan.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// readOne reads the state and policies of the files or of the cluster, and prints notes about
// them.
func (o *planOptions) readOne(ctx context.Context, stdin io.Reader, stderr io.Writer) (auditedState, error) {
	library, err := o.library()
	if err != nil {
		return auditedState{}, err
	}
	states, err := o.read(ctx, library, stdin, stderr, &report.Audit{})
	if err != nil {
		return auditedState{}, err
	}
	s := states[0]
	if len(s.unusable) > 0 {
		return auditedState{}, fmt.Errorf("BGPPolicy %s: %s", s.unusable[0].Policy, s.unusable[0].Message)
	}
	writeNotes(stderr, s.notes)
	return s, nil
}

// inputOf returns the state in the form that package plan reads.
func inputOf(s auditedState) plan.Input {
	now := s.readAt
	if now.IsZero() {
		now = time.Now()
	}
	return plan.Input{Snapshot: s.snapshot, Engine: validate.NewEngine(s.policies), Cluster: s.cluster, Version: version, Now: now}
}

func (o *planOptions) runTo(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	s, err := o.readOne(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	p, err := o.plan(ctx, s, stdin)
	denied, isDenied := errors.AsType[*plan.DeniedError](err)
	_, isKnot := errors.AsType[*plan.KnotError](err)
	if isKnot || isDenied && denied.Decision.Evaluated() {
		fmt.Fprintln(stderr, err)
		return errDenied
	}
	if err != nil {
		return err
	}
	out := &report.Plan{Plan: p, Color: colorful(stdout)}
	dir := o.dir()
	if dir == "" {
		return writeFormat(stdout, report.PlanFormats, o.output, out)
	}
	policies, err := o.policyDocuments(ctx, s)
	if err != nil {
		return err
	}
	if err := writePlan(dir, p, s.snapshot, policies); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s: %s; read %s first\n", dir, text.Count(len(p.Steps), "step"), filepath.Join(dir, plan.ReadmeFile))
	return nil
}

// plan makes the plan.
func (o *planOptions) plan(ctx context.Context, s auditedState, stdin io.Reader) (*plan.Plan, error) {
	in := inputOf(s)
	if o.isDesign() {
		var err error
		if o.design.Limits, err = plan.LimitsOf(s.policies); err != nil {
			return nil, err
		}
		return plan.To(ctx, in, plan.Goal(o.to), o.design)
	}
	read, err := state.ReadChanges([]string{o.to}, stdin)
	if err != nil {
		return nil, err
	}
	if len(read.Objects) == 0 {
		return nil, fmt.Errorf("flag --to: %s: contains no object that decides BGP", o.to)
	}
	wanted := make([]map[string]any, len(read.Objects))
	for i := range read.Objects {
		wanted[i] = read.Objects[i].Document.Object
	}
	return plan.ToDesired(ctx, in, wanted, o.prune)
}

// policyDocuments returns the BGPPolicies that evaluated the plan, none for the library's
// defaults.
func (o *planOptions) policyDocuments(ctx context.Context, s auditedState) ([]map[string]any, error) {
	if len(o.policies) > 0 {
		documents, err := manifest.Read(o.policies, nil)
		if err != nil {
			return nil, err
		}
		var out []map[string]any
		for _, d := range documents {
			if d.Object["kind"] == v1alpha1.KindBGPPolicy {
				out = append(out, d.Object)
			}
		}
		return out, nil
	}
	if s.cluster == "" {
		return nil, nil
	}
	live, err := o.find(o.context)
	if err != nil {
		return nil, err
	}
	objects, err := cluster.ReadPolicies(ctx, live.config)
	if err != nil && ctx.Err() == nil {
		return nil, nil // A note reports that the defaults were evaluated.
	}
	for _, object := range objects {
		metadata, _ := object["metadata"].(map[string]any)
		object["metadata"] = map[string]any{"name": metadata["name"]}
		delete(object, "status")
	}
	return objects, err
}

// writePlan writes the files of a plan, each atomically, plan.json last. It then removes the
// files of an earlier plan in the directory that the new one does not have.
func writePlan(dir string, p *plan.Plan, s *state.Snapshot, policies []map[string]any) error {
	earlier, _ := readPlan(dir) // The directory was checked before.
	files, err := p.Files(s, policies)
	if err != nil {
		return err
	}
	var readme bytes.Buffer
	if err := report.PlanFormats.Write(&readme, report.Markdown, &report.Plan{Plan: p}); err != nil {
		return err
	}
	files[plan.ReadmeFile] = readme.Bytes()
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if last := [2]bool{a == plan.File, b == plan.File}; last[0] != last[1] {
			return map[bool]int{true: 1, false: -1}[last[0]]
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return plainPath(err)
		}
		if err := writeAtomically(path, files[name]); err != nil {
			return err
		}
	}
	if earlier == nil {
		return nil
	}
	var errs []error
	for _, name := range earlier.Names() {
		if _, ok := files[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, plainPath(err))
			}
		}
	}
	return errors.Join(errs...)
}
