// Package author is for those who write policies: it makes new ones, checks,
// explains, measures, documents and packs them. It stands on the packages that
// the webhook judges with, knows no cluster, and has no part in a decision.
package author

import "strings"

// The formats that more than one of the commands writes.
const (
	Text = "text"
	JSON = "json"
	YAML = "yaml"
)

// folder is the name of a policy as a package, and the folder of its files.
func folder(name string) string { return strings.ReplaceAll(name, "-", "_") }
