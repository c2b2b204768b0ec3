package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// changeOptions are the flags of every command that reads a state and changes to it from
// files.
type changeOptions struct {
	states []string // files with the state
	files  []string // files with the changed objects
	delete bool
	user   string
	groups []string

	// How errors name the flags of the two lists of files.
	filesFlag, statesFlag string
}

// addChange adds the flags of a command whose subject is a change: -f is the change,
// --state the state.
func (o *changeOptions) addChange(f *pflag.FlagSet) {
	o.filesFlag, o.statesFlag = "-f", "--state"
	f.StringArrayVarP(&o.files, "filename", "f", nil, "`file`, directory or - (stdin) with the changed objects; repeatable")
	f.StringArrayVar(&o.states, "state", nil, "`file`, directory or - (stdin) with the cluster's objects before the change; repeatable (default: an empty cluster)")
	f.BoolVar(&o.delete, "delete", false, "delete the objects of -f instead of applying them")
	f.StringVar(&o.user, "as", "", "`user` who makes the change: policies can exempt users, and change policies can read the user name")
	f.StringArrayVar(&o.groups, "as-group", nil, "`group` of that user, as with kubectl; repeatable")
}

// addState adds the flags of a command whose subject is a state: -f is the state,
// --change an optional change to it.
func (o *changeOptions) addState(f *pflag.FlagSet) {
	o.filesFlag, o.statesFlag = "--change", "-f"
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the cluster's objects; repeatable")
	f.StringArrayVar(&o.files, "change", nil, "`file`, directory or - (stdin) with objects to apply to the state; repeatable")
	f.BoolVar(&o.delete, "delete", false, "delete the objects of --change instead of applying them")
}

// noArguments rejects arguments of a command that has flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return cobra.NoArgs(cmd, args) // An unknown command.
	default:
		return fmt.Errorf("unexpected argument %q: %s takes flags only, see \"%s --help\"", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
}

// resourcesOfAState lists the resources that every state has, for "kubectl get".
func resourcesOfAState() string {
	var out []string
	for _, info := range calico.Kinds() {
		if info.Need != calico.Optional {
			out = append(out, info.Resource)
		}
	}
	return strings.Join(out, ",")
}

// requireFiles returns an error if no file has a change.
func (o *changeOptions) requireFiles() error {
	if len(o.files) == 0 {
		return fmt.Errorf("flag %s is required: the file with the change, or - for stdin", o.filesFlag)
	}
	return nil
}

// requireState returns an error if no file has a state.
func (o *changeOptions) requireState() error {
	if len(o.states) == 0 {
		return fmt.Errorf("flag %s is required: the file with the objects of the cluster, or - for stdin", o.statesFlag)
	}
	return nil
}

func (o *changeOptions) validate() error {
	other := o.statesFlag
	if other == "-f" {
		other = o.filesFlag
	}
	switch {
	case countStdin(o.states)+countStdin(o.files) > 1:
		return fmt.Errorf("flags -f and %s: - (stdin) can be read only once", other)
	case o.delete && len(o.files) == 0:
		return fmt.Errorf("flag --delete requires %s: the file with the objects to delete", o.filesFlag)
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

// readState reads the state, and returns its objects as they were read.
func (o *changeOptions) readState(stdin io.Reader) (*state.Snapshot, []state.Read, error) {
	return state.ReadState(o.states, stdin)
}

// readStateWithNodes is readState for commands that need nodes. It returns an error if the
// state has none.
func (o *changeOptions) readStateWithNodes(stdin io.Reader) (*state.Snapshot, []state.Read, error) {
	s, read, err := o.readState(stdin)
	if err != nil {
		return nil, nil, err
	}
	if len(s.Nodes()) == 0 {
		return nil, nil, fmt.Errorf("%s: contains no Node: without nodes there are no sessions", strings.Join(o.states, ", "))
	}
	return s, read, nil
}

// readChanges reads the changed objects. It returns an error if a file has no object.
// Without files, it returns no objects.
func (o *changeOptions) readChanges(stdin io.Reader) ([]state.Read, error) {
	if len(o.files) == 0 {
		return nil, nil
	}
	read, err := state.ReadChanges(o.files, stdin)
	if err != nil {
		return nil, err
	}
	if len(read) == 0 {
		verb := "apply"
		if o.delete {
			verb = "delete"
		}
		return nil, fmt.Errorf("%s: contains no object to %s", strings.Join(o.files, ", "), verb)
	}
	return read, nil
}

// readOneChange reads the request of a command that evaluates exactly one changed object, and
// the state. Without files with a change, the request has no change.
func (o *changeOptions) readOneChange(stdin io.Reader) (*state.Snapshot, validate.Request, error) {
	s, _, err := o.readState(stdin)
	if err != nil {
		return nil, validate.Request{}, err
	}
	read, err := o.readChanges(stdin)
	if err != nil {
		return nil, validate.Request{}, err
	}
	switch len(read) {
	case 0:
		return s, o.request(state.Change{}), nil
	case 1:
		c, err := o.changeOf(s, read[0].Object)
		return s, o.request(c), err
	default:
		return nil, validate.Request{}, fmt.Errorf("%s: contains %s: this command takes exactly one changed object", strings.Join(o.files, ", "), text.Count(len(read), "object"))
	}
}

// changeOf returns the change to s that applies an object, or deletes it.
func (o *changeOptions) changeOf(s *state.Snapshot, object calico.Object) (state.Change, error) {
	c := state.Change{Before: s.Get(object.ID()), After: object}
	if !o.delete {
		return c, nil
	}
	if c.Before == nil {
		return state.Change{}, fmt.Errorf("%s cannot be deleted: it is not in the state", object.ID())
	}
	c.After = nil
	return c, nil
}

// apply returns s after all changes, in order.
func (o *changeOptions) apply(s *state.Snapshot, changed []state.Read) (*state.Snapshot, error) {
	for _, object := range state.Objects(changed) {
		c, err := o.changeOf(s, object)
		if err != nil {
			return nil, err
		}
		s = s.Apply(c)
	}
	return s, nil
}

// decideEach decides on changes to s, each to the state after all before it, also after
// those that are denied: it shows what a set of changes does if all of them are made.
func (o *changeOptions) decideEach(ctx context.Context, engine *validate.Engine, s *state.Snapshot, changed []state.Read) ([]report.Checked, error) {
	var out []report.Checked
	for i := range changed {
		c, err := o.changeOf(s, changed[i].Object)
		if err != nil {
			return nil, err
		}
		out = append(out, report.Checked{Change: c, Decision: engine.Decide(ctx, s, o.request(c)), Source: sourceOf(&changed[i])})
		s = s.Apply(c)
	}
	return out, nil
}

// request returns the request of the user of --as to make a change. The user is in the
// groups that the API server adds, so every command makes the decision of the webhook.
func (o *changeOptions) request(c state.Change) validate.Request {
	return validate.Request{Change: c, User: o.user, Groups: validate.ImpersonatedGroups(o.user, o.groups)}
}

// allPolicies describes the default of --policies for a command that reads no cluster.
const allPolicies = "every policy of the library, with its defaults"

// libraryOptions are the flags that select policies.
type libraryOptions struct {
	dirs, policies []string
}

// addDirs adds the flag for policies in addition to the built-in ones.
func (o *libraryOptions) addDirs(f *pflag.FlagSet) {
	f.StringArrayVar(&o.dirs, "policy-dir", nil, "`directory` of Rego modules, or tarball of an OPA bundle, with policies in addition to the built-in ones; repeatable")
}

// add adds all flags. byDefault describes the policies without --policies.
func (o *libraryOptions) add(f *pflag.FlagSet, byDefault string) {
	f.StringArrayVar(&o.policies, "policies", nil, "`file` or directory of BGPPolicies; repeatable (default: "+byDefault+")")
	o.addDirs(f)
}

// library returns the built-in policies and those of --policy-dir.
func (o *libraryOptions) library() (*policy.Library, error) {
	var sources []policy.Source
	var errs []error
	for _, dir := range o.dirs {
		source, err := policy.SourceFromPath(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, source)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return policy.NewLibrary(sources...)
}

// set returns the policies to evaluate.
func (o *libraryOptions) set() (*policy.Set, error) {
	library, err := o.library()
	if err != nil {
		return nil, err
	}
	return o.compile(library)
}

// compile returns the policies of --policies, by default every policy of the library with
// its defaults.
func (o *libraryOptions) compile(library *policy.Library) (*policy.Set, error) {
	if len(o.policies) > 0 {
		docs, err := policy.Load(o.policies)
		if err != nil {
			return nil, err
		}
		return library.Compile(docs)
	}
	var docs []policy.Document
	for _, d := range library.Definitions() {
		docs = append(docs, policy.Default(d))
	}
	return library.Compile(docs)
}

// findPolicy returns the policy of --policy, or nil if name is "".
func findPolicy(set *policy.Set, name string) (*policy.Policy, error) {
	if name == "" {
		return nil, nil
	}
	for _, p := range set.Policies() {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("flag --policy: unknown policy %q; known policies: %s", name, strings.Join(set.Names(), ", "))
}

// oneChangeOptions are the flags of a command that evaluates policies on at most one
// change.
type oneChangeOptions struct {
	changeOptions
	libraryOptions

	policy string // name of the policy; "" if --policy is unset
}

// add adds all flags. usage is that of --policy.
func (o *oneChangeOptions) add(f *pflag.FlagSet, usage string) {
	o.addChange(f)
	f.StringVar(&o.policy, "policy", "", usage)
	o.libraryOptions.add(f, allPolicies)
}

// oneChange is the content of the flags and files of a command.
type oneChange struct {
	set      *policy.Set
	policy   *policy.Policy // nil if --policy is unset
	snapshot *state.Snapshot
	request  validate.Request
}

// read checks the flags and reads the policies, the state and the change.
func (o *oneChangeOptions) read(stdin io.Reader) (r oneChange, err error) {
	if err := o.validate(); err != nil {
		return oneChange{}, err
	}
	if r.set, err = o.set(); err != nil {
		return oneChange{}, err
	}
	if r.policy, err = findPolicy(r.set, o.policy); err != nil {
		return oneChange{}, err
	}
	r.snapshot, r.request, err = o.readOneChange(stdin)
	return r, err
}

// unknownPolicy is the error for an argument that names no policy of the library.
func unknownPolicy(library *policy.Library, name string) error {
	return fmt.Errorf("unknown policy %q; known policies: %s", name, strings.Join(library.Names(), ", "))
}

// formats is the table of output formats of a command; see report.Formats.
type formats interface {
	Default() string
	Usage() string
	Completions() []string
}

// addOutput adds the flag -o, with the formats of f.
func addOutput(cmd *cobra.Command, format *string, f formats) {
	cmd.Flags().StringVarP(format, "output", "o", f.Default(), f.Usage())
	complete(cmd, "output", f.Completions())
}

// addChoice adds a flag whose value is one of values. The value of p is the default.
func addChoice(cmd *cobra.Command, p *string, name string, values []string, usage string) {
	cmd.Flags().StringVar(p, name, *p, usage+": "+strings.Join(values, ", "))
	complete(cmd, name, values)
}

// checkChoice returns an error unless the value of a flag is one of values.
func checkChoice(name, value string, values []string) error {
	if slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("flag --%s must be one of %s, is %q", name, strings.Join(values, ", "), value)
}

// complete lets shells complete the value of a flag.
func complete(cmd *cobra.Command, name string, values []string) {
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // The command has no flag of that name.
	}
}

// completePolicies lets shells complete arguments with the names of policies.
func completePolicies(o *libraryOptions) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		library, err := o.library()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return library.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}
