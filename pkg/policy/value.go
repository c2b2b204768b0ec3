package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
			items[i] = [2]*ast.Term{f.key, term(v.FieldByIndex(f.index))}
		}
		return ast.NewObject(items...)
	case reflect.Map:
		return mapValue(v)
	case reflect.Slice, reflect.Array:
		if v.Len() == 0 {
			return ast.InternedEmptyArrayValue
		}
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			terms[i] = term(v.Index(i))
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
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		add(field{ast.InternedTerm(name), []int{i}})
	}
	structs.Store(t, out)
	return out
}

// ValueLike is Value for a value that differs little from old, whose value is known. Lists share the values of their equal first and
// last elements with it: a list of an object for each node costs little more than a comparison. Without known, it is Value.
func ValueLike[T any](v, old *T, known ast.Object) ast.Value {
	if known == nil {
		return Value(v)
	}
	return like(reflect.ValueOf(v), reflect.ValueOf(old), known)
}

// like returns the value of v, which has the type of old. known is the value of old.
func like(v, old reflect.Value, known ast.Value) ast.Value {
	if v.Type().Implements(nullable) || v.Type().Implements(astValue) {
		return value(v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || old.IsNil() {
			return value(v)
		}
		if v.UnsafePointer() == old.UnsafePointer() {
			return known
		}
		return like(v.Elem(), old.Elem(), known)
	case reflect.Struct:
		object, ok := known.(ast.Object)
		if !ok {
			return value(v)
		}
		fields := fieldsOf(v.Type())
		items := make([][2]*ast.Term, len(fields))
		for i, f := range fields {
			was := object.Get(f.key)
			items[i] = [2]*ast.Term{f.key, was}
			if now := like(v.FieldByIndex(f.index), old.FieldByIndex(f.index), was.Value); now != was.Value {
				items[i][1] = ast.NewTerm(now)
			}
		}
		return ast.NewObject(items...)
	case reflect.Slice:
		list, ok := known.(*ast.Array)
		if !ok {
			return value(v)
		}
		return likeList(v, old, list)
	}
	return value(v)
}

// likeList is like for slices.
func likeList(v, old reflect.Value, known *ast.Array) ast.Value {
	n, m := v.Len(), old.Len()
	if n == m && (n == 0 || v.UnsafePointer() == old.UnsafePointer()) {
		return known
	}
	first, last := 0, 0
	if v.Type().Elem().Comparable() {
		for first < min(n, m) && v.Index(first).Equal(old.Index(first)) {
			first++
		}
		for last < min(n, m)-first && v.Index(n-1-last).Equal(old.Index(m-1-last)) {
			last++
		}
	}
	terms := make([]*ast.Term, n)
	for i := range terms {
		switch {
		case i < first:
			terms[i] = known.Elem(i)
		case i >= n-last:
			terms[i] = known.Elem(i - n + m)
		default:
			terms[i] = ast.NewTerm(likeOne(v.Index(i), old, known))
		}
	}
	return ast.NewArray(terms...)
}

// likeOne returns the value of an element of a list. It is like the first element of old with the same key, if there is one.
func likeOne(v, old reflect.Value, known *ast.Array) ast.Value {
	keyed, ok := reflect.TypeAssert[interface{ Key() string }](v)
	if !ok {
		return value(v)
	}
	for i := range old.Len() {
		if other, ok := reflect.TypeAssert[interface{ Key() string }](old.Index(i)); ok && other.Key() == keyed.Key() {
			return like(v, old.Index(i), known.Elem(i).Value)
		}
	}
	return value(v)
}

func mapValue(v reflect.Value) ast.Value {
	if v.Len() == 0 {
		return ast.InternedEmptyObjectValue
	}
	items := make([][2]*ast.Term, 0, v.Len())
	if m, ok := reflect.TypeAssert[map[string]any](v); ok { // JSON
		for k, item := range m {
			items = append(items, [2]*ast.Term{keyTerm(k), term(reflect.ValueOf(item))})
		}
	} else {
		for it := v.MapRange(); it.Next(); {
			items = append(items, [2]*ast.Term{keyTerm(it.Key().String()), term(it.Value())})
		}
	}
	return ast.NewObject(items...)
}

// term returns the value of v as a term. Terms that are in many values are shared: there can be an object for each node.
func term(v reflect.Value) *ast.Term {
	switch one := value(v).(type) {
	case ast.Null:
		return ast.InternedNullTerm
	case ast.Boolean:
		return ast.InternedTerm(bool(one))
	case ast.String:
		return ast.InternedTerm(string(one))
	case ast.Number:
		if shared := ast.InternedIntNumberTermFromString(string(one)); shared != nil {
			return shared
		}
		return ast.NewTerm(one)
	default:
		switch one {
		case ast.InternedEmptyObjectValue:
			return ast.InternedEmptyObject
		case ast.InternedEmptyArrayValue:
			return ast.InternedEmptyArray
		}
		return ast.NewTerm(one)
	}
}

// maxKeys bounds the keys of maps that are shared. Objects have far fewer fields, but users choose their labels.
const maxKeys = 4096

// keys holds the terms of keys of maps, and their number.
var keys struct {
	terms sync.Map
	count atomic.Int32
}

func keyTerm(key string) *ast.Term {
	if known, ok := keys.terms.Load(key); ok {
		return known.(*ast.Term)
	}
	fresh := ast.InternedTerm(key)
	if keys.count.Load() < maxKeys {
		if _, known := keys.terms.LoadOrStore(key, fresh); !known {
			keys.count.Add(1)
		}
	}
	return fresh
}
