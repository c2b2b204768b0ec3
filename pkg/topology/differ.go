package topology

import (
	"reflect"
	"slices"
	"strings"
)

// differences names the JSON fields in which half-sessions differ, in order.
// What follows from where they come is left out.
func differences(list []HalfSession) []string {
	out := []string{}
	t := reflect.TypeFor[HalfSession]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "sources" || name == "status" {
			continue
		}
		first := reflect.ValueOf(list[0]).Field(i).Interface()
		if slices.ContainsFunc(list[1:], func(h HalfSession) bool {
			return !reflect.DeepEqual(first, reflect.ValueOf(h).Field(i).Interface())
		}) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
