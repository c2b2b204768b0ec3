package env

import (
	"testing"
)

func TestPointAt(t *testing.T) {
	tests := map[string]struct{ manifests, want, wantError string }{
		"the Service of every webhook becomes a URL with the Service's path, and nothing else changes": {
			manifests: `kind: ValidatingWebhookConfiguration
metadata: {name: bgpguard}
webhooks:
- name: bgp.bgpguard.io
  clientConfig:
    caBundle: bm90IG9uZQ==
    service: {name: bgpguard-webhook, namespace: bgpguard-system, path: /validate, port: 443}
  failurePolicy: Fail
- name: nodes.bgpguard.io
  clientConfig:
    service: {name: bgpguard-webhook, namespace: bgpguard-system, path: /nodes}
`,
			want: `---
kind: ValidatingWebhookConfiguration
metadata:
  name: bgpguard
webhooks:
- clientConfig:
    caBundle: bm90IG9uZQ==
    url: https://localhost:9443/validate
  failurePolicy: Fail
  name: bgp.bgpguard.io
- clientConfig:
    url: https://localhost:9443/nodes
  name: nodes.bgpguard.io
`,
		},
		"other objects stay as they were written": {
			manifests: "kind: Namespace\nmetadata: {name: a} # first\n---\nkind: Service\n",
			want:      "---\nkind: Namespace\nmetadata: {name: a} # first\n---\nkind: Service\n",
		},
		"a configuration that calls no Service is refused": {
			manifests: `kind: ValidatingWebhookConfiguration
metadata: {name: bgpguard}
webhooks:
- name: bgp.bgpguard.io
  clientConfig: {url: "https://elsewhere.example"}
`,
			wantError: `ValidatingWebhookConfiguration "bgpguard": ` +
				`webhook "bgp.bgpguard.io" has no clientConfig.service.path`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := PointAt(test.manifests, 9443)
			if message := text(err); message != test.wantError {
				t.Fatalf("\n got error: %s\nwant error: %s", message, test.wantError)
			}
			if got != test.want {
				t.Errorf("\n got: %s\nwant: %s", got, test.want)
			}
		})
	}
}

// text returns the message of an error, "" for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
