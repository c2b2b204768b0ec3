package env

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// tokenSeconds is the lifetime of a ServiceAccount's token. A kubelet renews tokens every hour, which nothing does here,
// so a token must last as long as an environment that a user keeps.
const tokenSeconds = 24 * 60 * 60

// UserKubeconfig writes a kubeconfig for a user with some groups, who has the permissions of RBAC, and returns its path.
func (e *Environment) UserKubeconfig(name string, groups ...string) (string, error) {
	user, err := e.plane.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return "", fmt.Errorf("make a certificate for user %q: %w", name, err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("make a kubeconfig for user %q: %w", name, err)
	}
	path := e.kubeconfigPath("user", name)
	return path, os.WriteFile(path, text, 0o600)
}

// ServiceAccountKubeconfig writes a kubeconfig with a token that the API server issues for an existing ServiceAccount, as
// a kubelet mounts it into a Pod, and returns its path.
func (e *Environment) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](tokenSeconds)},
	}
	issued, err := e.Client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token for ServiceAccount %s/%s: %w", namespace, name, err)
	}

	const entry = "bgpguard"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{Server: e.Config.Host, CertificateAuthorityData: e.Config.CAData}
	config.AuthInfos[entry] = &clientcmdapi.AuthInfo{Token: issued.Status.Token}
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: entry, Namespace: namespace}
	config.CurrentContext = entry
	path := e.kubeconfigPath("serviceaccount", namespace, name)
	return path, clientcmd.WriteToFile(*config, path)
}

// kubeconfigPath returns the path of the kubeconfig of a user. A user name can contain any character, even a slash.
func (e *Environment) kubeconfigPath(owner ...string) string {
	name := strings.ReplaceAll(strings.Join(owner, "-"), "/", "-")
	return filepath.Join(e.Dir, name+".kubeconfig")
}
