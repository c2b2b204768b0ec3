package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// libraryOptions say which policies there are and which hold.
type libraryOptions struct {
	dirs, policies []string
}

// addDirs adds the flag that brings policies beside those that are built in.
func (o *libraryOptions) addDirs(f *pflag.FlagSet) {
	f.StringArrayVar(&o.dirs, "policy-dir", nil, "`directory` of Rego modules, or tarball of an OPA bundle, with policies beside the built-in ones; repeatable")
}

// add adds all flags.
func (o *libraryOptions) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.policies, "policies", nil, "`file` or directory of BGPPolicy documents; repeatable (default: one for each policy of the library, with its defaults)")
	o.addDirs(f)
}

// library is the built-in one with the policies of --policy-dir.
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

// set is the policies that hold.
func (o *libraryOptions) set() (*policy.Set, error) {
	library, err := o.library()
	if err != nil {
		return nil, err
	}
	return o.compile(library)
}

// compile gives those of --policies, else one for each policy of the library.
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
