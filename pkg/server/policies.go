package server

import (
	"context"
	"net/http"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/enforce"
)

// policies keeps the keeper in step with the BGPPolicies, which are in files or in
// the cluster.
type policies struct {
	// runnable is not embedded: that would hide its method NeedLeaderElection, and only the
	// leader would have policies.
	runnable manager.Runnable
	// objects are the BGPPolicies of the cluster, nil where files replace them.
	objects *enforce.Objects
}

// newPolicies reads the files of --policies. Without files it follows the
// BGPPolicies of the cluster.
func newPolicies(mgr manager.Manager, keeper *enforce.Keeper, files *enforce.Files, log logr.Logger) policies {
	if files != nil {
		return policies{runnable: files}
	}
	objects := enforce.NewObjects(mgr, keeper, log)
	return policies{runnable: objects, objects: objects}
}

// check is a healthz.Checker that fails until the policies are in force.
func (p policies) check(r *http.Request) error {
	if p.objects == nil {
		return nil // Files are read before the process starts.
	}
	return p.objects.Check(r)
}

// notes are warnings for users who write BGPPolicies.
func (p policies) notes() []string {
	if p.objects == nil {
		return []string{"this bgpguard reads its policies from files (--policies): BGPPolicies in the cluster are not enforced"}
	}
	return nil
}

// reference returns a reference to a BGPPolicy. It has a UID if the BGPPolicy
// exists in the cluster and is enforced.
func (p policies) reference(ctx context.Context, cached client.Reader, name string) corev1.ObjectReference {
	ref := corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindBGPPolicy, Name: name}
	var o v1alpha1.BGPPolicy
	if p.objects != nil && cached.Get(ctx, client.ObjectKey{Name: name}, &o) == nil {
		ref.UID = o.UID
	}
	return ref
}

// Publish implements auditor.Publisher: the status of BGPPolicies gets the
// violations of the latest audit.
func (p policies) Publish(context.Context, *audit.Audit) error {
	p.refresh()
	return nil
}

// reportedNotAsked reports whether an earlier leader has reported why the API server does not ask
// this webhook about all changes, "" for no reason.
func (p policies) reportedNotAsked(ctx context.Context, notAsked string) bool {
	if p.objects == nil {
		return notAsked == ""
	}
	return p.objects.ReportedNotAsked(ctx, notAsked)
}

// refresh makes the leader write the status of BGPPolicies soon.
func (p policies) refresh() {
	if p.objects != nil {
		p.objects.Refresh()
	}
}
