package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

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
		obj := ast.NewObject()
		insertFields(obj, v)
		return obj
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

func insertFields(obj ast.Object, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			insertFields(obj, v.Field(i))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		obj.Insert(ast.InternedTerm(name), ast.NewTerm(value(v.Field(i))))
	}
}

func mapValue(v reflect.Value) ast.Value {
	obj := ast.NewObject()
	m := make(map[string]reflect.Value, v.Len())
	for it := v.MapRange(); it.Next(); {
		m[it.Key().String()] = it.Value()
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		obj.Insert(ast.StringTerm(k), ast.NewTerm(value(m[k])))
	}
	return obj
}
