package policy

import (
	"slices"
	// Policies reckon in time zones, and the image holds nothing but the binary.
	_ "time/tzdata"

	"github.com/open-policy-agent/opa/v1/ast"
)

// reachesOut lists builtins that OPA does not mark as nondeterministic, and
// that yet depend on more than their arguments: the clock, the process.
var reachesOut = []string{"io.jwt.decode_verify", "rego.parse_module", "trace"}

// Capabilities returns what policies may use of OPA: no builtin that reaches
// out of the evaluation or whose result is not a function of its arguments, so
// that a policy's result is a pure function of its input and the admission
// path never waits for a network.
func Capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(reachesOut, b.Name)
	})
	c.AllowNet = []string{}
	return c
}
