package cluster

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// policyResource and exceptionResource are the resources of BGPPolicies and BGPExceptions.
var (
	policyResource    = schema.GroupVersionResource{Group: "policy.bgpguard.io", Version: "v1alpha1", Resource: "bgppolicies"}
	exceptionResource = schema.GroupVersionResource{Group: "policy.bgpguard.io", Version: "v1alpha1", Resource: "bgpexceptions"}
)

// ReadPolicies reads the BGPPolicies of a cluster once, sorted by name. There are none if
// the API server does not serve the kind.
func ReadPolicies(ctx context.Context, config *rest.Config) ([]map[string]any, error) {
	return readAll(ctx, config, policyResource)
}

// ReadExceptions reads the BGPExceptions of a cluster once, sorted by name. There are none if
// the API server does not serve the kind.
func ReadExceptions(ctx context.Context, config *rest.Config) ([]map[string]any, error) {
	return readAll(ctx, config, exceptionResource)
}

func readAll(ctx context.Context, config *rest.Config, resource schema.GroupVersionResource) ([]map[string]any, error) {
	r, err := newReader(config, ReadOptions{})
	if err != nil {
		return nil, err
	}
	list, err := r.objects.Resource(resource).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, r.explain(ctx, resource.GroupResource(), err)
	}
	out := make([]map[string]any, len(list.Items))
	for i := range list.Items {
		out[i] = list.Items[i].Object
	}
	return out, nil
}
