package env

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/pkg/scenario/live"
)

// MetricsToken creates a ServiceAccount that may read the metrics of an installed webhook, and returns a token of it.
func (e *Environment) MetricsToken(ctx context.Context) (string, error) {
	const namespace, name = "default", "metrics-reader"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := e.Client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "bgpguard-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}
	if _, err := e.Client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	kubeconfig, err := e.ServiceAccountKubeconfig(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", err
	}
	return config.BearerToken, nil
}

var shownMetric = regexp.MustCompile(`^bgpguard_(snapshot_version|snapshot_objects|undecodable_objects)\{kind="(\w+)"\} (\S+)$`)

// Shown returns a function that reads what the webhook knows of each kind of objects.
func (w *Webhook) Shown(token string) func(context.Context) (map[string]live.Shown, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // The process has a certificate of its own, on loopback.
	return func(ctx context.Context) (map[string]live.Shown, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.MetricsURL, http.NoBody)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("reading the metrics: %s", response.Status)
		}
		out := map[string]live.Shown{}
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			match := shownMetric.FindStringSubmatch(lines.Text())
			if match == nil {
				continue
			}
			value, err := strconv.ParseFloat(match[3], 64)
			if err != nil {
				return nil, err
			}
			known := out[match[2]]
			if strings.HasSuffix(match[1], "objects") {
				known.Objects += int(value)
			} else {
				known.Version = uint64(value)
			}
			out[match[2]] = known
		}
		return out, lines.Err()
	}
}
