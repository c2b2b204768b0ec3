package calico

import "reflect"

// Differs reports whether two objects have different values at a path into their documents, such as
// spec, asNumber; see Manifest. An object without a document differs from every other.
func Differs(a, b Object, path []string) bool {
	x, ok := fieldOf(a, path)
	y, ok2 := fieldOf(b, path)
	return !ok || !ok2 || !reflect.DeepEqual(x, y)
}

// fieldOf returns the value at a path into the document of o, nil if it has none there. It returns
// false if o has no document.
func fieldOf(o Object, path []string) (any, bool) {
	if n, ok := o.(*Node); ok {
		if value, known := n.field(path); known {
			return value, true
		}
	}
	document := Manifest(o)
	if document == nil {
		return nil, false
	}
	var value any = document
	for _, key := range path {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil, true
		}
		value = inner[key]
	}
	return value, true
}
