package policy

import (
	"fmt"
	"slices"
	"sync"
	// Policies reckon in time zones, and the image holds nothing but the binary.
	_ "time/tzdata"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// reachesOut lists builtins that OPA does not mark as nondeterministic, and
// that yet depend on more than their arguments: the clock, the process.
var reachesOut = []string{"io.jwt.decode_verify", "rego.parse_module", "trace"}

// endless lists builtins that heed no deadline while their time and memory grow
// without bounds: graph.reachable_paths lists the paths of a graph, of which a mesh of
// 15 nodes has more than memory holds. graph.reachable asks what policies want to know.
var endless = []string{"graph.reachable_paths"}

// Capabilities returns what policies may use of OPA: no builtin that reaches
// out of the evaluation or whose result is not a function of its arguments, so
// that a policy's result is a pure function of its input and the admission
// path never waits for a network; and none that takes all memory before it can be
// stopped.
func Capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(reachesOut, b.Name) || slices.Contains(endless, b.Name)
	})
	c.AllowNet = []string{}
	return c
}

// guardBuiltins has builtins that panic fail. OPA runs tests on goroutines of its
// own, on which a panic ends the process: those who apply a BGPPolicy could end
// every replica by one test. It changes OPA's table of builtins, so it has to be
// called before anything is evaluated.
var guardBuiltins = sync.OnceFunc(func() {
	for _, b := range Capabilities().Builtins {
		call := topdown.GetBuiltin(b.Name)
		if call == nil { // The compiler has rewritten it.
			continue
		}
		topdown.RegisterBuiltinFunc(b.Name, func(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("panicked: %v", r)
				}
			}()
			return call(bctx, args, iter)
		})
	}
})
