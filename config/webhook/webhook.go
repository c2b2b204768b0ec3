// Package webhook embeds the ValidatingWebhookConfiguration that this folder installs.
package webhook

import _ "embed"

// Configuration is the ValidatingWebhookConfiguration, in YAML.
//
//go:embed validating_webhook.yaml
var Configuration []byte
