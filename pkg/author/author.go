// Package author implements the commands for policy authors: it creates, checks,
// tests, benchmarks, explains and packs policies. It returns data; pkg/report
// writes them. It evaluates policies through the packages that the webhook uses,
// reads no live cluster, and takes no part in a decision.
package author

import "strings"

// folder returns the name of a policy's package, which is also the name of its
// folder.
func folder(name string) string { return strings.ReplaceAll(name, "-", "_") }
