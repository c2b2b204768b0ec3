package policy

import (
	"slices"
	// Policies use time zones, and the image has no time zone database.
	_ "time/tzdata"

	"github.com/open-policy-agent/opa/v1/ast"
)

// impure lists builtins whose result depends on more than their arguments, such as the
// clock, although OPA does not mark them as nondeterministic.
var impure = []string{"io.jwt.decode_verify", "rego.parse_module", "trace"}

// unbounded lists builtins that ignore the deadline and can use any amount of time and
// memory: graph.reachable_paths lists all paths of a graph, and those of a mesh of 15 nodes
// do not fit in memory. Policies can use graph.reachable instead.
var unbounded = []string{"graph.reachable_paths"}

// Capabilities returns the features of OPA that policies may use. Builtins with network
// access or nondeterministic results are disabled, so that the result of a policy is a pure
// function of its input and admission never waits for a network. Builtins that can use all
// memory before they can be stopped are disabled too.
func Capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(impure, b.Name) || slices.Contains(unbounded, b.Name)
	})
	c.AllowNet = []string{}
	return c
}
