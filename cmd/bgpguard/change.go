package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// changeOptions say what one change, and the state that it is made to, are.
type changeOptions struct {
	files, states []string
	delete        bool
	as            string
	groups        []string
}

func (o *changeOptions) add(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.files, "filename", "f", nil, "`file` or - (stdin) with the changed object")
	f.StringArrayVar(&o.states, "state", nil, "`file`, directory or - (stdin) with the objects of the cluster; repeatable")
	f.BoolVar(&o.delete, "delete", false, "delete the object of -f instead of applying it")
	f.StringVar(&o.as, "as", "", "`user` who makes the change")
	f.StringArrayVar(&o.groups, "as-group", nil, "`group` of that user; repeatable")
}

func (o *changeOptions) validate() error {
	switch {
	case stdins(o.files, o.states) > 1:
		return errors.New("flags -f and --state: - (stdin) can be read only once")
	case o.delete && len(o.files) == 0:
		return errors.New("flag --delete needs -f: the file with the object to delete")
	case len(o.groups) > 0 && o.as == "":
		return errors.New("flag --as-group needs --as: the user who is in the group")
	default:
		return nil
	}
}

// read reads the state, and the change where there is one.
func (o *changeOptions) read(stdin io.Reader) (*state.Snapshot, validate.Request, error) {
	none := validate.Request{User: o.as, Groups: o.groups}
	snapshot, _, err := state.ReadState(o.states, stdin)
	if err != nil || len(o.files) == 0 {
		return snapshot, none, err
	}
	read, err := state.ReadChanges(o.files, stdin)
	if err != nil {
		return nil, none, err
	}
	changed := state.Objects(read)
	if len(changed) != 1 {
		return nil, none, fmt.Errorf("%s: holds %s; it must hold the one that changes", strings.Join(o.files, ", "), text.Count(len(changed), "object"))
	}
	r := none
	r.Change = state.Change{Before: snapshot.Get(changed[0].ID()), After: changed[0]}
	if o.delete {
		r.After = nil
		if r.Before == nil {
			return nil, none, fmt.Errorf("%s cannot be deleted: the state does not hold it", changed[0].ID())
		}
	}
	return snapshot, r, nil
}
