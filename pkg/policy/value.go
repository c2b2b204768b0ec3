package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Value converts a Go value to a Rego value by the rules of encoding/json, without encoding
// it: structs by their json tags, maps with string keys, slices, arrays, pointers, and the
// types of decoded JSON. A nil map becomes {} and a nil slice [], so that every field is
// present. Values of type ast.Value stay as they are. A value whose method Null returns true
// becomes null.
func Value(v any) ast.Value { return value(reflect.ValueOf(v)) }

var (
	astValue = reflect.TypeFor[ast.Value]()
	nullable = reflect.TypeFor[interface{ Null() bool }]()
)

func value(v reflect.Value) ast.Value {
	if !v.IsValid() {
		return ast.NullValue
	}
	if v.Type().Implements(astValue) && !(v.Kind() == reflect.Interface && v.IsNil()) {
		return v.Interface().(ast.Value)
	}
	if v.Type().Implements(nullable) && v.Interface().(interface{ Null() bool }).Null() {
		return ast.NullValue
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return ast.NullValue
		}
		return value(v.Elem())
	case reflect.Struct:
		fields := fieldsOf(v.Type())
		items := make([][2]*ast.Term, len(fields))
		for i, f := range fields {
			items[i] = [2]*ast.Term{f.key, ast.NewTerm(value(v.FieldByIndex(f.index)))}
		}
		return ast.NewObject(items...)
	case reflect.Map:
		return mapValue(v)
	case reflect.Slice, reflect.Array:
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			terms[i] = ast.NewTerm(value(v.Index(i)))
		}
		return ast.NewArray(terms...)
	case reflect.String:
		return ast.String(v.String())
	case reflect.Bool:
		return ast.Boolean(v.Bool())
	case reflect.Int, reflect.Int64, reflect.Int32:
		return ast.IntNumberTerm(int(v.Int())).Value
	case reflect.Float64:
		return ast.FloatNumberTerm(v.Float()).Value
	}
	// Another type is a programming error, which any test of the type shows.
	return ast.String(fmt.Sprintf("unsupported type %s", v.Type()))
}

// field is a field of a struct in JSON.
type field struct {
	key   *ast.Term
	index []int
}

// structs holds the fields of the types that Value has converted, as []field.
var structs sync.Map

// fieldsOf returns the fields of a struct, with those of embedded structs in their place. A later
// field replaces one of the same name.
func fieldsOf(t reflect.Type) []field {
	if known, ok := structs.Load(t); ok {
		return known.([]field)
	}
	var out []field
	add := func(f field) {
		same := func(known field) bool { return known.key.Equal(f.key) }
		out = append(slices.DeleteFunc(out, same), f)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				add(field{inner.key, append([]int{i}, inner.index...)})
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		add(field{ast.InternedTerm(name), []int{i}})
	}
	structs.Store(t, out)
	return out
}

func mapValue(v reflect.Value) ast.Value {
	items := make([][2]*ast.Term, 0, v.Len())
	if m, ok := reflect.TypeAssert[map[string]any](v); ok { // JSON
		for k, item := range m {
			items = append(items, [2]*ast.Term{ast.StringTerm(k), ast.NewTerm(Value(item))})
		}
	} else {
		for it := v.MapRange(); it.Next(); {
			items = append(items, [2]*ast.Term{ast.StringTerm(it.Key().String()), ast.NewTerm(value(it.Value()))})
		}
	}
	return ast.NewObject(items...)
}
