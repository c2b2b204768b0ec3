package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/state"
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
	typha         state.Typha
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
			} else if len(open) != 1 && strings.Contains(arg, "/") {
				return fmt.Errorf("flag --delete: %w", err)
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
