package env

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Install installs bgpguard as in a cluster: first the CRD, and the rest when BGPPolicies are served. The webhook
// configurations call the webhook of StartWebhook, which need not run yet.
func (e *Environment) Install(ctx context.Context) error {
	if _, err := e.ApplyKustomization(ctx, "config/crd"); err != nil {
		return err
	}
	served, err := e.Admin.Run(ctx, "wait", "--for=condition=Established", "crd/bgppolicies.policy.bgpguard.io")
	if err := errors.Join(err, served.Err()); err != nil {
		return err
	}
	_, err = e.ApplyKustomization(ctx, "config/default")
	return err
}

// ApplyKustomization applies a directory of the repository as `kubectl apply -k` does, but with webhook configurations
// that call the webhook on this machine (see PointAt). The result is that of `kubectl apply`.
func (e *Environment) ApplyKustomization(ctx context.Context, folder string) (Result, error) {
	rendered, err := e.Admin.Run(ctx, "kustomize", filepath.Join(e.root, folder))
	if err != nil {
		return rendered, err
	}
	if err := rendered.Err(); err != nil {
		return rendered, err
	}
	manifests, err := PointAt(rendered.Stdout, e.WebhookPort)
	if err != nil {
		return rendered, fmt.Errorf("%s: %w", folder, err)
	}
	applied, err := e.Admin.RunWithInput(ctx, manifests, "apply", "-f", "-")
	if err != nil {
		return applied, err
	}
	return applied, applied.Err()
}

// PointAt changes the ValidatingWebhookConfigurations in manifests to call a port of this machine and not a Service,
// which needs a cluster network. It changes nothing else; the CA bundle stays.
func PointAt(manifests string, port int) (string, error) {
	var pointed bytes.Buffer
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewBufferString(manifests)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return pointed.String(), nil
		}
		if err != nil {
			return "", err
		}
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return "", err
		}
		if object.GetKind() == "ValidatingWebhookConfiguration" {
			if err := pointConfiguration(&object, port); err != nil {
				return "", fmt.Errorf("ValidatingWebhookConfiguration %q: %w", object.GetName(), err)
			}
			if document, err = yaml.Marshal(object.Object); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(&pointed, "---\n%s\n", bytes.TrimSpace(document))
	}
}

// pointConfiguration replaces the Service of every webhook by a URL with the Service's path.
func pointConfiguration(configuration *unstructured.Unstructured, port int) error {
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, entry := range webhooks {
		webhook, ok := entry.(map[string]any)
		if !ok {
			return fmt.Errorf("a webhook must be an object, is %T", entry)
		}
		path, found, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("webhook %q has no clientConfig.service.path", webhook["name"])
		}
		unstructured.RemoveNestedField(webhook, "clientConfig", "service")
		url := fmt.Sprintf("https://localhost:%d%s", port, path)
		if err := unstructured.SetNestedField(webhook, url, "clientConfig", "url"); err != nil {
			return err
		}
	}
	return unstructured.SetNestedSlice(configuration.Object, webhooks, "webhooks")
}
