package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

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

// ofCluster returns the policies to evaluate on the state of a cluster: those of --policies,
// else the BGPPolicies of the cluster, else every policy of the library with its defaults,
// with a note. BGPPolicies that cannot be evaluated here become failures, for example one
// whose policy is neither built in nor in --policy-dir.
func (o *libraryOptions) ofCluster(ctx context.Context, live *liveCluster, library *policy.Library) (set *policy.Set, unusable []audit.Failure, notes []string, err error) {
	if len(o.policies) > 0 {
		set, err = o.compile(library)
		return set, nil, nil, err
	}
	objects, err := cluster.ReadPolicies(ctx, live.config)
	why := "the cluster has no BGPPolicies"
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, nil, err
	case err != nil:
		why = "the cluster's BGPPolicies could not be read (" + err.Error() + ")"
		objects = nil
	}
	if len(objects) == 0 {
		set, err = o.compile(library)
		return set, nil, []string{why + ": every policy of the library was evaluated with its defaults; select others with --policies"}, err
	}
	var prepared []*policy.Policy
	for _, object := range objects {
		p, name, err := prepare(library, object)
		if err != nil {
			unusable = append(unusable, audit.Failure{
				Policy: name, Message: fmt.Sprintf("BGPPolicy could not be loaded: %s; add policies that are not built in with --policy-dir", text.Clean(err.Error())),
			})
			continue
		}
		prepared = append(prepared, p)
	}
	return policy.NewSet(prepared), unusable, nil, nil
}

// exceptionsOf returns the BGPExceptions of the cluster whose BGPPolicies are evaluated: none with
// --policies or for a state from files. It writes a note about those that cannot be read.
func (o *libraryOptions) exceptionsOf(ctx context.Context, live *liveCluster, stderr io.Writer) ([]*policy.Exception, error) {
	if live == nil || len(o.policies) > 0 {
		return nil, nil
	}
	objects, err := cluster.ReadExceptions(ctx, live.config)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, err
	default:
		writeNotes(stderr, []string{"the cluster's BGPExceptions could not be read, so none is applied: " + err.Error()})
		objects = nil
	}
	var out []*policy.Exception
	for _, object := range objects {
		var x v1alpha1.BGPException
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &x); err != nil {
			return nil, fmt.Errorf("%s: %w", v1alpha1.KindBGPException, err)
		}
		exception, err := policy.NewException(&x)
		if err != nil { // bgpguard does not apply it either.
			writeNotes(stderr, []string{err.Error()})
			continue
		}
		out = append(out, exception)
	}
	return out, nil
}

// prepare compiles a BGPPolicy object. It returns the name even if it returns an error.
func prepare(library *policy.Library, object map[string]any) (*policy.Policy, string, error) {
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	d, err := policy.Decode(object)
	if err != nil {
		return nil, name, err
	}
	p, err := library.Prepare(&d)
	return p, name, err
}
