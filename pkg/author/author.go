// Package author implements the commands for policy authors: it creates, checks,
// tests, benchmarks, explains and packs policies. It returns data that
// pkg/report writes. It evaluates policies with the packages that the webhook uses. It
// does not read a running cluster, and the webhook does not use it.
package author

import "strings"

// folder returns the name of a policy's package, which is also the name of its
// folder.
func folder(name string) string { return strings.ReplaceAll(name, "-", "_") }
