package reserve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
)

const (
	// ConfigMapName is the name of the ConfigMap in bgpguard's namespace that holds the
	// record.
	ConfigMapName = "bgpguard-reservations"
	recordKey     = "reservations.json"
)

// ConfigMap is the record in a ConfigMap. It implements Store.
type ConfigMap struct {
	namespace  string
	core       corev1client.CoreV1Interface
	configMaps corev1client.ConfigMapInterface
}

// NewConfigMap returns the record in a namespace. Nothing delays its requests: changes wait
// for them.
func NewConfigMap(config *rest.Config, namespace string) (*ConfigMap, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client for reservations: %w", err)
	}
	return &ConfigMap{namespace: namespace, core: core, configMaps: core.ConfigMaps(namespace)}, nil
}

// Read implements Store.
func (c *ConfigMap) Read(ctx context.Context) ([]byte, string, error) {
	found, err := c.configMaps.Get(ctx, ConfigMapName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	return []byte(found.Data[recordKey]), found.ResourceVersion, nil
}

// Write implements Store. It keeps all other fields of the ConfigMap.
func (c *ConfigMap) Write(ctx context.Context, record []byte, version string) (string, error) {
	data := map[string]string{recordKey: string(record)}
	var written *corev1.ConfigMap
	var err error
	if version == "" {
		written, err = c.configMaps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name: ConfigMapName, Labels: map[string]string{"app.kubernetes.io/name": "bgpguard", "app.kubernetes.io/part-of": "bgpguard"},
			},
			Data: data,
		}, metav1.CreateOptions{})
	} else {
		// The API server rejects a patch whose resourceVersion is not the current one.
		var patch []byte
		patch, err = json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": version}, "data": data})
		if err != nil {
			return "", err
		}
		written, err = c.configMaps.Patch(ctx, ConfigMapName, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	switch {
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) && version != "":
		return "", ErrConflict
	case err != nil:
		return "", fmt.Errorf("writing the ConfigMap %s/%s: %w", c.namespace, ConfigMapName, err)
	}
	return written.ResourceVersion, nil
}

// sweepInterval is the time between checks for reservations that expired.
const sweepInterval = time.Second

// sweepTimeout bounds one check.
const sweepTimeout = 10 * time.Second

// Follower updates a ledger from the watch of a ConfigMap. It is a manager.Runnable.
type Follower struct {
	Ledger    *Ledger
	ConfigMap *ConfigMap
}

// NeedLeaderElection returns false: every replica follows the reservations of the others.
func (f Follower) NeedLeaderElection() bool { return false }

// Start follows the ConfigMap until ctx is done.
func (f Follower) Start(ctx context.Context) error {
	lw := toolscache.NewListWatchFromClient(f.ConfigMap.core.RESTClient(), "configmaps", f.ConfigMap.namespace,
		fields.OneTermEqualSelector(metav1.ObjectNameField, ConfigMapName))
	informer := toolscache.NewSharedIndexInformer(lw, &corev1.ConfigMap{}, 0, toolscache.Indexers{})
	update := func(object any) {
		if c, ok := object.(*corev1.ConfigMap); ok && c.Name == ConfigMapName {
			f.Ledger.Update([]byte(c.Data[recordKey]), c.ResourceVersion)
		}
	}
	// A deletion needs no handler: the next write finds no object, and reads it.
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: update, UpdateFunc: func(_, object any) { update(object) },
	}); err != nil {
		return errors.Join(errors.New("following the reservations"), err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		informer.RunWithContext(ctx)
	}()
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			<-done
			return nil
		case <-ticker.C:
			f.sweep(ctx)
		}
	}
}

// sweep bounds the time in which objects are read.
func (f Follower) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	f.Ledger.Sweep(ctx)
}
