package policy

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
)

// parametersRef is input.parameters.
var parametersRef = ast.Ref{ast.InputRootDocument, parametersKey}

// TypeCheck compiles parsed modules, without tests, as With does, but not in strict mode. In the
// modules of each definition, input.parameters has the type of the schema in the METADATA: With
// accepts any parameter, because a policy in force must not become invalid with a stricter
// compiler. TypeCheck changes the annotations of the modules. The error is that of the compiler,
// with every type error.
func TypeCheck(modules map[string]*ast.Module, definitions []*Definition) (*ast.Compiler, error) {
	product := maps.Clone(modules)
	maps.DeleteFunc(product, func(file string, _ *ast.Module) bool { return IsTest(file) })
	for _, d := range definitions {
		parameters := d.schema.source
		if schema, _ := parameters.(map[string]any); len(d.schema.compiled.Properties) == 0 && schema["additionalProperties"] == false {
			// The compiler takes an object without properties as one with any property.
			parameters = map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{"": map[string]any{}}}
		}
		for _, a := range product[d.File].Annotations {
			if a.Scope == "package" {
				a.Schemas = append(a.Schemas, &ast.SchemaAnnotation{Path: parametersRef, Definition: &parameters})
			}
		}
	}
	all, err := withShared(product, false)
	if err != nil {
		return nil, err
	}
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	c.WithStrict(false).SetErrorLimit(0).Compile(all)
	if c.Failed() {
		return nil, c.Errors
	}
	return c, nil
}
