package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// noArguments rejects arguments of a command that has flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		var known []string
		for _, c := range cmd.Commands() {
			known = append(known, c.Name())
		}
		if meant := text.MostLike(args[0], known); meant != "" {
			return fmt.Errorf("unknown command %q for %q, did you mean %s", args[0], cmd.CommandPath(), meant)
		}
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

// startGCPercent is the growth of the heap, in percent, after which the garbage collector runs
// while a command starts.
const startGCPercent = 400

// library returns the built-in policies and those of --policy-dir.
func (o *libraryOptions) library() (*policy.Library, error) {
	// Compiling the library is most of the work of a command on a small state. It makes garbage
	// of some 20 MB, which need not be collected several times.
	defer debug.SetGCPercent(debug.SetGCPercent(startGCPercent))
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
	return nil, fmt.Errorf("flag --policy: %w", unknownPolicy(set.Names(), name))
}

// unknownPolicy is the error for a name that no policy has.
func unknownPolicy(known []string, name string) error {
	if meant := text.MostLike(name, known); meant != "" {
		return fmt.Errorf("unknown policy %q, did you mean %s", name, meant)
	}
	return fmt.Errorf("unknown policy %q; known policies: %s", name, strings.Join(known, ", "))
}

// flagError adds the flag that is probably meant to the error for a flag that a command does not have.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if meant := text.MostLike(unknown.GetSpecifiedName(), known); meant != "" {
		return fmt.Errorf("%w, did you mean --%s", err, meant)
	}
	return err
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
