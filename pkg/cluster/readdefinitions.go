package cluster

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// definitionResource is the resource of CustomResourceDefinitions.
var definitionResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// ReadDefinitions reads the CustomResourceDefinitions of Calico's kinds in both API groups, one
// by one: a cluster may have hundreds of others. It needs permission to get them.
func ReadDefinitions(ctx context.Context, config *rest.Config) ([]map[string]any, error) {
	r, err := newReader(config, ReadOptions{})
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, kind := range calico.Kinds() {
		if !kind.Calico {
			continue
		}
		for _, group := range []string{calico.GroupV1, calico.GroupV3} {
			definition, err := r.objects.Resource(definitionResource).Get(ctx, kind.Resource+"."+group, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
			case err != nil:
				return nil, r.explain(ctx, schema.GroupResource{}, err)
			default:
				out = append(out, definition.Object)
			}
		}
	}
	return out, nil
}
