package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// The values of METADATA custom.loosens, which say how a change of a parameter loosens the
// policy. Each fits some types of parameters. An unset parameter has no limit, so that unsetting
// it loosens the policy.
const (
	loosensHigher  = "higher" // a higher number, or a longer duration
	loosensLower   = "lower"  // a lower number, or a shorter duration
	loosensMore    = "more"   // an item that is added to a list
	loosensFewer   = "fewer"  // an item that is removed from a list
	loosensTrue    = "true"   // a switch that is turned on
	loosensFalse   = "false"  // a switch that is turned off
	loosensUnknown = "unknown"
)

// directions lists the values of custom.loosens that fit a JSON type.
var directions = map[string][]string{
	"integer": {loosensHigher, loosensLower, loosensUnknown},
	"number":  {loosensHigher, loosensLower, loosensUnknown},
	"string":  {loosensHigher, loosensLower, loosensUnknown},
	"array":   {loosensMore, loosensFewer, loosensUnknown},
	"boolean": {loosensTrue, loosensFalse, loosensUnknown},
	"object":  {loosensUnknown},
}

// readLoosens reads METADATA custom.loosens.
func (d *Definition) readLoosens(v any) error {
	if v == nil {
		return nil
	}
	given, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("must be an object of parameters, is %v", v)
	}
	schema, _ := d.schema.source.(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	d.Loosens = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		property, ok := properties[name].(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not a parameter; known are %s", name, strings.Join(slices.Sorted(maps.Keys(properties)), ", "))
		}
		kind, _ := property["type"].(string)
		direction := fmt.Sprint(given[name])
		if fits := directions[kind]; !slices.Contains(fits, direction) {
			return fmt.Errorf("%s must be one of %s for a parameter of type %s, is %s", name, strings.Join(fits, ", "), kind, direction)
		}
		d.Loosens[name] = direction
	}
	return nil
}

// Loosened compares two sets of parameters as JSON, nil for none. It describes the changes that
// loosen the policy, and those whose effect is not known. An error means that the old parameters
// do not match the schema.
func (d *Definition) Loosened(old, parameters []byte) (loosened, unknown []string, err error) {
	before, bad := d.schema.fill(old)
	if bad != nil {
		return nil, nil, fmt.Errorf("%s: %s", strings.TrimSuffix("parameters."+bad.field, "."), bad.message)
	}
	after, bad := d.schema.fill(parameters)
	if bad != nil {
		return nil, nil, fmt.Errorf("%s: %s", strings.TrimSuffix("parameters."+bad.field, "."), bad.message)
	}
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, is := before[name], after[name]
		if reflect.DeepEqual(was, is) {
			continue
		}
		change := fmt.Sprintf("parameter %s is %s, was %s", name, valueText(is), valueText(was))
		switch loosens, known := isLooser(d.Loosens[name], was, is); {
		case !known:
			unknown = append(unknown, change)
		case loosens:
			loosened = append(loosened, change)
		}
	}
	return loosened, unknown, nil
}

// isLooser reports whether a change of a parameter loosens the policy, and whether this is
// known. nil is an unset parameter.
func isLooser(direction string, was, is any) (loosens, known bool) {
	switch direction {
	case loosensTrue, loosensFalse:
		return fmt.Sprint(is) == direction || is == nil, true
	case loosensMore:
		return hasMore(was, is)
	case loosensFewer:
		return hasMore(is, was)
	case loosensHigher, loosensLower:
		if was == nil || is == nil {
			return is == nil, true
		}
		a, ok := amount(was)
		b, ok2 := amount(is)
		return (direction == loosensHigher) == (b > a) && a != b, ok && ok2
	default:
		return false, false
	}
}

// hasMore reports whether the list is has an item that was does not have, and whether both are
// lists.
func hasMore(was, is any) (more, ok bool) {
	a, ok := was.([]any)
	b, ok2 := is.([]any)
	if was == nil {
		ok = true
	}
	if is == nil {
		ok2 = true
	}
	return slices.ContainsFunc(b, func(item any) bool {
		return !slices.ContainsFunc(a, func(other any) bool { return reflect.DeepEqual(item, other) })
	}), ok && ok2
}

// amount returns a number, or a duration in seconds.
func amount(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case string:
		d, err := time.ParseDuration(v)
		return d.Seconds(), err == nil
	}
	return 0, false
}

// maxValue bounds the text of a value, in bytes.
const maxValue = 80

func valueText(v any) string {
	if v == nil {
		return "unset"
	}
	out, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return text.Cut(string(out), maxValue)
}
