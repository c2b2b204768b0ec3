package auditor

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// ReadTrail returns the trail that the leader recorded in its ConfigMap in namespace, nil if
// no record exists. It logs and ignores a record that cannot be used.
func ReadTrail(ctx context.Context, reader client.Reader, namespace string, log logr.Logger) (*audit.Trail, error) {
	r, err := (&store{reader: reader, namespace: namespace, log: log}).read(ctx)
	if err != nil {
		return nil, err
	}
	return r.Trail, nil
}
