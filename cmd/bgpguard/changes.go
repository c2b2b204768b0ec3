package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// changeOptions are the flags of every command that reads a state and changes to it.
type changeOptions struct {
	clusterOptions

	context       string   // context of the kubeconfig whose cluster is the state
	states        []string // files with the state
	files         []string // files with the changed objects
	replace       bool
	delete        deletions
	labels        []string // "KIND/NAME KEY=VALUE..."
	annotations   []string
	patches       []string // "KIND/NAME JSON"
	calicoVersion string
	user          string
	groups        []string

	// How errors name the flags of the two lists of files.
	filesFlag, statesFlag string
}

// addChange adds the flags of a command whose subject is a change: -f is the change,
// --state or --context the state.
func (o *changeOptions) addChange(cmd *cobra.Command) {
	o.filesFlag, o.statesFlag = "-f", "--state"
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "`file`, directory or - (stdin) with the changed objects; repeatable")
	f.StringArrayVar(&o.states, "state", nil, "`file`, directory or - (stdin) with the cluster's objects before the change; repeatable")
	o.addContext(f)
	o.addEdits(cmd)
	f.StringVar(&o.user, "as", "", "`user` who makes the change: policies can exempt users, and change policies can read the user name")
	f.StringArrayVar(&o.groups, "as-group", nil, "`group` of that user, as with kubectl; repeatable")
}

// addState adds the flags of a command whose subject is a state: -f is the state,
// --change an optional change to it.
func (o *changeOptions) addState(cmd *cobra.Command) {
	o.filesFlag, o.statesFlag = "--change", "-f"
	f := cmd.Flags()
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the cluster's objects; repeatable")
	f.StringArrayVar(&o.files, "change", nil, "`file`, directory or - (stdin) with objects to apply to the state; repeatable")
	o.addEdits(cmd)
}

// addContext adds the flags for a state that is read from one cluster.
func (o *changeOptions) addContext(f *pflag.FlagSet) {
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context of the cluster to read the state from, instead of "+o.statesFlag)
	o.clusterOptions.add(f)
}

// addEdits adds the flags that say how the state changes.
func (o *changeOptions) addEdits(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.replace, "replace", false, "replace the objects of "+o.filesFlag+" as \"kubectl replace\" and \"calicoctl apply\" do, instead of merging them as \"kubectl apply\" does")
	f.Var(&o.delete, "delete", "`KIND/NAME` of an object to delete; repeatable. Without a value, delete the objects of "+o.filesFlag)
	f.Lookup("delete").NoOptDefVal = deleteFiles
	f.StringArrayVar(&o.labels, "label", nil, "`KIND/NAME` of an object, then KEY=VALUE to set a label or KEY- to remove it; repeatable in quotes")
	f.StringArrayVar(&o.annotations, "annotate", nil, "`KIND/NAME` of an object, then KEY=VALUE to set an annotation or KEY- to remove it; repeatable in quotes")
	f.StringArrayVar(&o.patches, "patch", nil, "`KIND/NAME` of an object, then a JSON merge patch; repeatable in quotes")
	o.addVersion(f)
	cmd.Args = o.arguments
	cmd.ValidArgsFunction = completeObjects
}

// deleteFiles is the value of --delete without a value.
const deleteFiles = "files"

// deletions is the value of --delete.
type deletions struct {
	files bool        // delete the objects of the files
	ids   []calico.ID // delete these objects
}

// Set implements pflag.Value.
func (d *deletions) Set(value string) error {
	switch value {
	case deleteFiles, "true":
		d.files = true
		return nil
	case "false":
		d.files = false
		return nil
	}
	id, err := parseID(value)
	if err == nil {
		d.ids = append(d.ids, id)
	}
	return err
}

// String implements pflag.Value.
func (d *deletions) String() string {
	names := make([]string, len(d.ids))
	for i, id := range d.ids {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

// Type implements pflag.Value.
func (d *deletions) Type() string { return "KIND/NAME" }

// parseID returns the object of KIND/NAME, with the names of kinds that kubectl accepts:
// "BGPPeer", "bgppeer", "bgppeers", and each of them with an API group.
func parseID(text string) (calico.ID, error) {
	kind, name, ok := strings.Cut(text, "/")
	if ok && name != "" {
		kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
		for _, info := range calico.Kinds() {
			if !info.Observation && (strings.EqualFold(kind, string(info.Kind)) || kind == info.Resource) {
				return calico.ID{Kind: info.Kind, Name: name}, nil
			}
		}
	}
	return calico.ID{}, fmt.Errorf("must be KIND/NAME, for example bgppeer/rack-1, is %q", text)
}

// arguments implements cobra.PositionalArgs. After --delete, arguments are further objects to
// delete, as with kubectl. Others belong to the one flag --label, --annotate or --patch that
// lacks a value.
func (o *changeOptions) arguments(cmd *cobra.Command, args []string) error {
	var open []*string
	for _, values := range [][]string{o.labels, o.annotations, o.patches} {
		for i := range values {
			if !strings.Contains(values[i], " ") {
				open = append(open, &values[i])
			}
		}
	}
	named := false
	for _, arg := range args {
		if cmd.Flags().Changed("delete") {
			if id, err := parseID(arg); err == nil {
				o.delete.ids, named = append(o.delete.ids, id), true
				continue
			}
		}
		if len(open) != 1 {
			return noArguments(cmd, []string{arg})
		}
		*open[0] += " " + arg
	}
	if named { // "--delete KIND/NAME" deletes only this object.
		o.delete.files = false
	}
	return nil
}

// changes reports whether the flags have a change.
func (o *changeOptions) changes() bool {
	return len(o.files)+len(o.delete.ids)+len(o.labels)+len(o.annotations)+len(o.patches) > 0
}

// requireChange returns an error if the flags have no change.
func (o *changeOptions) requireChange() error {
	if !o.changes() {
		return fmt.Errorf("flag %s is required: the file with the change, or - for stdin", o.filesFlag)
	}
	return nil
}

// live reports whether the state is that of a cluster.
func (o *changeOptions) live() bool { return o.context != "" || o.kubeconfig != "" }

// requireState returns an error if the flags have no state.
func (o *changeOptions) requireState() error {
	switch {
	case len(o.states) > 0 && o.live():
		return fmt.Errorf("flags %s and --context are mutually exclusive: the state is that of files or of a cluster", o.statesFlag)
	case len(o.states) == 0 && !o.live():
		return fmt.Errorf("flag %s or --context is required: the file with the objects of the cluster, - for stdin, or the context of the cluster", o.statesFlag)
	default:
		return nil
	}
}

func (o *changeOptions) validate() error {
	other := o.statesFlag
	if other == "-f" {
		other = o.filesFlag
	}
	switch {
	case countStdin(o.states)+countStdin(o.files) > 1:
		return fmt.Errorf("flags -f and %s: - (stdin) can be read only once", other)
	case o.delete.files && len(o.files) == 0:
		return fmt.Errorf("flag --delete requires KIND/NAME or %s: the object, or the file with the objects to delete", o.filesFlag)
	case o.delete.files && o.replace:
		return fmt.Errorf("flags --delete and --replace are mutually exclusive: the objects of %s are deleted or replaced", o.filesFlag)
	case len(o.groups) > 0 && o.user == "":
		return errors.New("flag --as-group requires --as: the user who is in the group")
	default:
		return nil
	}
}

func countStdin(paths []string) int {
	count := 0
	for _, p := range paths {
		if p == manifest.Stdin {
			count++
		}
	}
	return count
}

// writeNotes writes notes to w, one on each line.
func writeNotes(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintln(w, "note:", text.Clean(note))
	}
}

// world is a state that a command read.
type world struct {
	*state.Snapshot

	read []state.Read // the objects of files; nil for a cluster
	live *liveCluster // nil for files
}

// readState reads the state of the files or the cluster, with the version of
// --calico-version, and writes notes about it.
func (o *changeOptions) readState(ctx context.Context, stdin io.Reader, stderr io.Writer) (world, error) {
	var w world
	if o.live() {
		live, err := o.find(o.context)
		if err != nil {
			return world{}, err
		}
		reading, err := live.read(ctx, stderr)
		if err != nil {
			return world{}, err
		}
		for _, u := range reading.Unread {
			writeNotes(stderr, []string{u.String()})
		}
		w = world{Snapshot: reading.State, live: live}
	} else {
		s, contents, err := state.ReadState(o.states, stdin)
		if err != nil {
			return world{}, err
		}
		writeNotes(stderr, contents.Notes)
		w = world{Snapshot: s, read: contents.Objects}
	}
	var err error
	w.Snapshot, err = o.withVersion(w.Snapshot)
	return w, err
}

// origin names the files or the cluster of a state.
func (o *changeOptions) origin(w world) string {
	if w.live != nil {
		return w.live.String()
	}
	return strings.Join(o.states, ", ")
}

// addVersion adds the flag of the version of Calico.
func (o *changeOptions) addVersion(f *pflag.FlagSet) {
	f.StringVar(&o.calicoVersion, "calico-version", "", "`version` of Calico, for example v3.31.2 (default: from the ClusterInformation)")
}

// withVersion returns s with the version of --calico-version.
func (o *changeOptions) withVersion(s *state.Snapshot) (*state.Snapshot, error) {
	if o.calicoVersion == "" {
		return s, nil
	}
	information, err := clusterInformation(o.calicoVersion)
	if err != nil {
		return nil, err
	}
	return s.Apply(state.Change{After: information}), nil
}

// clusterInformation returns the ClusterInformation of a cluster with that version of Calico.
func clusterInformation(version string) (calico.Object, error) {
	object, err := calico.Decode(map[string]any{
		"apiVersion": calico.APIVersionV3, "kind": string(calico.KindClusterInformation),
		"metadata": map[string]any{"name": calico.Default}, "spec": map[string]any{"calicoVersion": version},
	})
	if err != nil {
		return nil, err
	}
	if c, ok := object.(*calico.ClusterInformation); !ok || c.Version == nil {
		return nil, fmt.Errorf("flag --calico-version must be a version such as v3.31.2, is %q", version)
	}
	return object, nil
}

// requireNodes returns an error if neither the state nor its changes have a Node.
func (o *changeOptions) requireNodes(s *state.Snapshot, edits []edit) error {
	makes := func(e edit) bool { return e.read != nil && !e.delete && e.id.Kind == calico.KindNode }
	if len(s.Nodes()) > 0 || slices.ContainsFunc(edits, makes) {
		return nil
	}
	from := strings.Join(o.states, ", ")
	if o.live() {
		from = "the cluster"
	}
	return fmt.Errorf("%s: contains no Node: without nodes there are no sessions", from)
}

// edit is one change that the flags describe.
type edit struct {
	id calico.ID
	// read is the object of a file, nil for an object that a flag names.
	read   *state.Read
	delete bool
	// patch is a JSON merge patch, nil unless a flag changes the object. flag is its name.
	patch map[string]any
	flag  string
}

// readEdits reads the changes: those of the files in order, then those of --label,
// --annotate, --patch and --delete. It writes notes about the files. It returns an error if a
// file has no object.
func (o *changeOptions) readEdits(stdin io.Reader, stderr io.Writer) ([]edit, error) {
	var out []edit
	if len(o.files) > 0 {
		contents, err := state.ReadChanges(o.files, stdin)
		if err != nil {
			return nil, err
		}
		writeNotes(stderr, contents.Notes)
		if len(contents.Objects) == 0 {
			verb := "apply"
			if o.delete.files {
				verb = "delete"
			}
			return nil, fmt.Errorf("%s: contains no object to %s", strings.Join(o.files, ", "), verb)
		}
		for i := range contents.Objects {
			read := &contents.Objects[i]
			out = append(out, edit{id: read.ID(), read: read, delete: o.delete.files})
		}
	}
	for _, flag := range []struct {
		name   string
		values []string
		parse  func(string) (map[string]any, error)
	}{
		{"label", o.labels, func(text string) (map[string]any, error) { return parseTexts("labels", text) }},
		{"annotate", o.annotations, func(text string) (map[string]any, error) { return parseTexts("annotations", text) }},
		{"patch", o.patches, parsePatch},
	} {
		for _, value := range flag.values {
			target, rest, _ := strings.Cut(value, " ")
			id, err := parseID(target)
			if err != nil {
				return nil, fmt.Errorf("flag --%s: %w", flag.name, err)
			}
			patch, err := flag.parse(strings.TrimSpace(rest))
			if err != nil {
				return nil, fmt.Errorf("flag --%s: %s: %w", flag.name, id, err)
			}
			out = append(out, edit{id: id, patch: patch, flag: flag.name})
		}
	}
	for _, id := range o.delete.ids {
		out = append(out, edit{id: id, delete: true, flag: "delete"})
	}
	return out, nil
}

// parseTexts returns the patch of "KEY=VALUE" and "KEY-", for labels or annotations.
func parseTexts(field, text string) (map[string]any, error) {
	values := map[string]any{}
	for word := range strings.FieldsSeq(text) {
		key, value, set := strings.Cut(word, "=")
		name, removed := strings.CutSuffix(word, "-")
		switch {
		case set && key != "":
			values[key] = value
		case removed && name != "":
			values[name] = nil
		default:
			return nil, fmt.Errorf("must be KEY=VALUE or KEY-, is %q", word)
		}
	}
	if len(values) == 0 {
		return nil, errors.New("KEY=VALUE or KEY- is missing")
	}
	return map[string]any{"metadata": map[string]any{field: values}}, nil
}

// parsePatch reads a JSON merge patch in JSON or YAML.
func parsePatch(text string) (map[string]any, error) {
	if text == "" {
		return nil, errors.New("the patch is missing, for example {\"spec\": {\"asNumber\": 64512}}")
	}
	patch, err := manifest.ParseObject(text)
	if err != nil {
		return nil, fmt.Errorf("the patch is not an object in JSON or YAML: %w", err)
	}
	return patch, nil
}

// changeOf returns the change to s that an edit makes.
func (o *changeOptions) changeOf(s *state.Snapshot, e edit) (state.Change, error) {
	c := state.Change{Before: s.Get(e.id)}
	if c.Before == nil && e.patch != nil {
		return state.Change{}, fmt.Errorf("flag --%s: %s is not in the state", e.flag, e.id)
	}
	if c.Before == nil && e.delete {
		return state.Change{}, fmt.Errorf("%s cannot be deleted: it is not in the state", e.id)
	}
	var err error
	switch {
	case e.delete:
	case e.patch != nil && calico.IsUnparsed(c.Before):
		err = fmt.Errorf("flag --%s: %s in the state does not parse", e.flag, e.id)
	case e.patch != nil:
		if c.After, err = apply.Patch(c.Before, e.patch); err != nil {
			err = fmt.Errorf("flag --%s: %s: %w", e.flag, e.id, err)
		}
	case o.replace:
		if c.After, err = apply.Replace(c.Before, e.read.Document.Object); err != nil {
			err = e.read.Document.At("", err)
		}
	default:
		if c.After, err = apply.Apply(c.Before, e.read.Document.Object); err != nil {
			err = e.read.Document.At("", err)
		}
	}
	return c, err
}

// apply returns s after all changes, in order.
func (o *changeOptions) apply(s *state.Snapshot, edits []edit) (*state.Snapshot, error) {
	for _, e := range edits {
		c, err := o.changeOf(s, e)
		if err != nil {
			return nil, err
		}
		s = s.Apply(c)
	}
	return s, nil
}

// decideEach decides on changes to s, each to the state after all before it, also after
// those that are denied: it shows what a set of changes does if all of them are made.
func (o *changeOptions) decideEach(ctx context.Context, engine *validate.Engine, s *state.Snapshot, edits []edit) ([]report.Checked, error) {
	var out []report.Checked
	for _, e := range edits {
		c, err := o.changeOf(s, e)
		if err != nil {
			return nil, err
		}
		out = append(out, report.Checked{Change: c, Decision: engine.Decide(ctx, s, o.request(c)), Source: e.source()})
		s = s.Apply(c)
	}
	return out, nil
}

// readsOf returns the objects of files.
func readsOf(edits []edit) []state.Read {
	var out []state.Read
	for _, e := range edits {
		if e.read != nil {
			out = append(out, *e.read)
		}
	}
	return out
}

// source returns the file and lines of the object of an edit.
func (e edit) source() report.Source {
	if e.read == nil {
		return report.Source{}
	}
	return sourceOf(e.read)
}

// request returns the request of the user of --as to make a change. The user is in the
// groups that the API server adds, so every command makes the decision of the webhook.
func (o *changeOptions) request(c state.Change) validate.Request {
	return validate.Request{Change: c, User: o.user, Groups: validate.ImpersonatedGroups(o.user, o.groups)}
}

// clockOptions are the flags of a command whose policies read the time.
type clockOptions struct {
	now string
}

func (o *clockOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.now, "now", "", "`time` of the change for change windows, for example 2026-12-24T22:00:00Z (default: the current time)")
}

// clock returns the clock for policies.
func (o *clockOptions) clock() (func() time.Time, error) {
	if o.now == "" {
		return time.Now, nil
	}
	t, err := time.Parse(time.RFC3339, o.now)
	if err != nil {
		return nil, fmt.Errorf("flag --now must be a time such as 2026-12-24T22:00:00Z, is %q", o.now)
	}
	return func() time.Time { return t }, nil
}

// oneChangeOptions are the flags of a command that evaluates policies on at most one
// change.
type oneChangeOptions struct {
	changeOptions
	libraryOptions
	clockOptions

	policy string // name of the policy; "" if --policy is unset
}

// add adds all flags. usage is that of --policy.
func (o *oneChangeOptions) add(cmd *cobra.Command, usage string) {
	o.addChange(cmd)
	f := cmd.Flags()
	f.StringVar(&o.policy, "policy", "", usage)
	o.libraryOptions.add(f, clusterPolicies)
	o.clockOptions.add(f)
}

// oneChange is the content of the flags and files of a command.
type oneChange struct {
	set      *policy.Set
	policy   *policy.Policy // nil if --policy is unset
	snapshot *state.Snapshot
	request  validate.Request
	now      func() time.Time
}

// read checks the flags and reads the policies, the state and the change.
func (o *oneChangeOptions) read(ctx context.Context, stdin io.Reader, stderr io.Writer) (r oneChange, err error) {
	if err := o.requireState(); err != nil {
		return oneChange{}, err
	}
	if err := o.validate(); err != nil {
		return oneChange{}, err
	}
	if r.now, err = o.clock(); err != nil {
		return oneChange{}, err
	}
	library, err := o.library()
	if err != nil {
		return oneChange{}, err
	}
	w, err := o.readState(ctx, stdin, stderr)
	if err != nil {
		return oneChange{}, err
	}
	if r.set, err = o.policiesOf(ctx, library, w.live, stderr); err != nil {
		return oneChange{}, err
	}
	if r.policy, err = findPolicy(r.set, o.policy); err != nil {
		return oneChange{}, err
	}
	edits, err := o.readEdits(stdin, stderr)
	if err != nil {
		return oneChange{}, err
	}
	if err := o.requireNodes(w.Snapshot, edits); err != nil {
		return oneChange{}, err
	}
	r.snapshot = w.Snapshot
	var c state.Change
	switch len(edits) {
	case 0:
	case 1:
		if c, err = o.changeOf(w.Snapshot, edits[0]); err != nil {
			return oneChange{}, err
		}
	default:
		return oneChange{}, fmt.Errorf("%s: contains %s: this command takes exactly one changed object", strings.Join(o.files, ", "), text.Count(len(edits), "object"))
	}
	r.request = o.request(c)
	return r, nil
}

// clusterPolicies describes the default of --policies for a command that can read a cluster.
const clusterPolicies = "the BGPPolicies of the cluster of --context, else every policy of the library, with its defaults"

// policiesOf returns the policies to evaluate: those of --policies, else the BGPPolicies of
// the cluster, else every policy of the library with its defaults. live is nil for a state
// from files. Unlike an audit, which reports the other policies, a decision without one of the
// cluster's policies would be wrong, so a BGPPolicy that cannot be loaded is an error.
func (o *libraryOptions) policiesOf(ctx context.Context, library *policy.Library, live *liveCluster, stderr io.Writer) (*policy.Set, error) {
	if live == nil {
		return o.compile(library)
	}
	set, unusable, notes, err := o.ofCluster(ctx, live, library)
	if err != nil {
		return nil, err
	}
	writeNotes(stderr, notes)
	var errs []error
	for _, f := range unusable {
		errs = append(errs, fmt.Errorf("%s: %s", f.Policy, f.Message))
	}
	return set, errors.Join(errs...)
}
