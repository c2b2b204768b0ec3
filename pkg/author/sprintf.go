package author

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/types"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// verb is a verb in the format of sprintf.
type verb struct {
	text     string // "%5d"
	letter   rune
	argument int // from 0
}

// wants says which arguments fit a verb. OPA's sprintf passes numbers and strings to Go's fmt and
// converts every other value to a string first; %v fits all.
var wants = map[rune]struct {
	text, instead string
	fits          func(types.Type) bool
}{
	'd': {"needs a number", "%v", is[types.Number]},
	'f': {"needs a number", "%v", is[types.Number]},
	's': {"needs a string", "%v or %d", func(t types.Type) bool { return !is[types.Number](t) }},
	't': {"fits no argument, because sprintf converts booleans to strings", "%v", func(types.Type) bool { return false }},
}

// verbsOf returns the verbs of a format, with the syntax of Go's fmt. The error is a verb that
// does not exist, or a number of verbs that is not the number of arguments. A format that chooses
// its arguments ("%[1]s", "%*d") has no result.
func verbsOf(format string, arguments int) ([]verb, error) {
	var out []verb
	next := 0
	runes := []rune(format)
	for i := 0; i < len(runes); i++ {
		if runes[i] != '%' {
			continue
		}
		start := i
		for i++; i < len(runes) && strings.ContainsRune("+-# 0123456789.", runes[i]); i++ {
		}
		switch {
		case i == len(runes):
			return nil, fmt.Errorf("sprintf: the format ends with an incomplete verb %s: write %%%% for a percent sign", string(runes[start:]))
		case runes[i] == '%':
			continue
		case runes[i] == '[' || runes[i] == '*':
			return nil, nil // Arguments are chosen by the format: not counted.
		case !strings.ContainsRune("vTtbcdoOqxXUeEfFgGsp", runes[i]):
			return nil, fmt.Errorf("sprintf: %s is not a verb: write %%%% for a percent sign", string(runes[start:i+1]))
		}
		out = append(out, verb{string(runes[start : i+1]), runes[i], next})
		next++
	}
	if len(out) != arguments {
		return nil, fmt.Errorf("sprintf: the format has %s, and there %s: give each verb one argument",
			text.Count(len(out), "verb"), text.Either(arguments, "is 1 argument", fmt.Sprintf("are %s", text.Count(arguments, "argument"))))
	}
	return out, nil
}
