// Package policies holds the policies that come with bgpguard, in Rego. Each
// folder is one policy; lib holds what they share, schemas the shape of their
// input.
package policies

import "embed"

// FS holds the Rego modules of all policies, without their tests, and of lib,
// what tests share, and the schemas of the input of policies that judge states
// (schemas/input.json) and changes (schemas/change.json).
//
//go:embed ambiguous_peering/ambiguous_peering.rego
//go:embed as_number_change/as_number_change.rego
//go:embed bird_accepts/bird_accepts.rego
//go:embed change_window/change_window.rego
//go:embed dangling_references/dangling_references.rego
//go:embed default_only_fields/default_only_fields.rego
//go:embed encapsulation_change/encapsulation_change.rego
//go:embed external_peer_hygiene/external_peer_hygiene.rego
//go:embed felix_agreement/felix_agreement.rego
//go:embed lib/approval/approval.rego
//go:embed lib/asn/asn.rego
//go:embed lib/permission/permission.rego
//go:embed lib/text/text.rego
//go:embed lib/window/window.rego
//go:embed mesh_node_limit/mesh_node_limit.rego
//go:embed overlapping_sessions/overlapping_sessions.rego
//go:embed reachability_preserved/reachability_preserved.rego
//go:embed reflector_redundancy/reflector_redundancy.rego
//go:embed route_reflectors_required/route_reflectors_required.rego
//go:embed selector_hygiene/selector_hygiene.rego
//go:embed session_budget/session_budget.rego
//go:embed stale_mesh_peers/stale_mesh_peers.rego
//go:embed timer_safety/timer_safety.rego
//go:embed timers_consistent/timers_consistent.rego
//go:embed unpaired_sessions/unpaired_sessions.rego
//go:embed schemas/change.json schemas/input.json
//go:embed testing/change_test.rego testing/testing_test.rego
var FS embed.FS
