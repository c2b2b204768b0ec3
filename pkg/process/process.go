// Package process holds what the long-running processes of bgpguard share, which
// are the webhook (pkg/server) and the web UI (pkg/serve): log, scheme, probes, the
// wait for an API server, addresses and namespace.
package process

import (
	"net"
	"os"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// NewScheme returns a scheme of the built-in kinds and BGPPolicies.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// NoAddress is the bind address that disables a server.
const NoAddress = "0"

// IsBindAddress reports whether a server can listen on address: HOST:PORT, :PORT
// or NoAddress.
func IsBindAddress(address string) bool {
	if address == NoAddress {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n < 1<<16
}

// IsLoopback reports whether host is localhost or a loopback IP address.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

const (
	// DefaultNamespace is the namespace of bgpguard's own objects.
	DefaultNamespace = "bgpguard-system"
	// namespaceFile is where the kubelet writes the namespace of a pod.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// Namespace returns the namespace of bgpguard's own objects: the given one, else
// $POD_NAMESPACE, else that of the pod's service account, else DefaultNamespace.
func Namespace(given string) string { return namespace(given, namespaceFile) }

func namespace(given, file string) string {
	if given != "" {
		return given
	}
	if name := os.Getenv("POD_NAMESPACE"); name != "" {
		return name
	}
	if content, err := os.ReadFile(file); err == nil && len(content) > 0 {
		return strings.TrimSpace(string(content))
	}
	return DefaultNamespace
}
