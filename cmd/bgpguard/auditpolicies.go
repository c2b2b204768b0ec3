package main

import (
	"context"
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// policiesOf finds the policies that judge a cluster: those of --policies, else its
// own BGPPolicies, else the library with its defaults, of which a note tells. One of
// its own that cannot be used here, such as one of a policy that only --policy-dir
// brings, could not judge.
func (o *auditOptions) policiesOf(ctx context.Context, live *liveCluster, library *policy.Library, out *known) error {
	defaults := func(why string) error {
		out.notes = append(out.notes, why+": judged by the policies of the library with their defaults; --policies names others")
		var err error
		out.policies, err = o.compile(library)
		return err
	}
	if len(o.policies) > 0 {
		var err error
		out.policies, err = o.compile(library)
		return err
	}
	objects, err := cluster.ReadPolicies(ctx, live.config)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return defaults("the cluster's BGPPolicies were not read (" + err.Error() + ")")
	case len(objects) == 0:
		return defaults("the cluster has no BGPPolicy")
	}
	var prepared []*policy.Policy
	for _, object := range objects {
		p, name, err := prepare(library, object)
		if err != nil {
			out.unusable = append(out.unusable, audit.Failure{
				Policy: name, Message: fmt.Sprintf("cannot be used here, so nothing is judged by it: %s; --policy-dir brings policies that are not built in", text.Clean(err.Error())),
			})
			continue
		}
		prepared = append(prepared, p)
	}
	out.policies = policy.NewSet(prepared)
	return nil
}

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
