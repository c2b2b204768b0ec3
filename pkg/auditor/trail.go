package auditor

import (
	"context"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// ReadTrail returns what the leader recorded of its audits in the ConfigMap
// ConfigMapName of namespace: nil where there is no record. A record that cannot be
// decoded is logged, and counts as none.
func ReadTrail(ctx context.Context, reader client.Reader, namespace string, log logr.Logger) (*audit.Trail, error) {
	r, err := (&store{reader: reader, namespace: namespace, log: log}).read(ctx)
	if err != nil {
		return nil, err
	}
	return r.Trail, nil
}
