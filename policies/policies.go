// Package policies is the library of policies, in Rego. Each folder is one
// policy; lib holds what they share, schemas the schema of their input.
package policies

import "embed"

// FS holds the library's Rego modules and the input's schema.
//
//go:embed lib mesh_node_limit route_reflectors_required timers_consistent schemas
var FS embed.FS
