package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

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
