package policy

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// maxResult bounds the memory of the result of one call of a builtin, in bytes. OPA stops an
// evaluation between two calls, but not each call.
const maxResult = 16 << 20

// Sizes of values in memory, in bytes, and the longest number that sprintf pads to.
const (
	termSize = 96
	maxWidth = 1_000_000
)

var errResult = fmt.Errorf("the result would have more than %d MiB", maxResult>>20)

// guardBuiltins makes builtins that panic return an error, and those whose result would exceed
// maxResult. OPA runs tests on its own goroutines, where a panic ends the process: a BGPPolicy with
// such a test would end every replica. It changes OPA's global table of builtins, so it must be
// called before anything is evaluated.
var guardBuiltins = sync.OnceFunc(func() {
	for _, b := range Capabilities().Builtins {
		call, size := topdown.GetBuiltin(b.Name), sizes[b.Name]
		if call == nil { // The compiler rewrites calls of this builtin.
			continue
		}
		topdown.RegisterBuiltinFunc(b.Name, guarded(call, size))
	}
})

// guarded returns a builtin that returns the panics of call as errors. size, which may be nil,
// returns the size of its result.
func guarded(call topdown.BuiltinFunc, size func([]*ast.Term) float64) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panicked: %v", r)
			}
		}()
		if size != nil && size(args) > maxResult {
			return errResult
		}
		return call(bctx, args, iter)
	}
}

// sizes returns an upper bound for the result of a builtin with the given arguments, in bytes. It
// lists the builtins whose result can be many times as large as their arguments. Arguments of the wrong
// type have size 0: the builtin rejects them.
var sizes = map[string]func(args []*ast.Term) float64{
	ast.Concat.Name: func(args []*ast.Term) float64 {
		size, between := 0.0, float64(len(stringOf(args[0])))
		forEach(args[1].Value, func(t *ast.Term) { size += float64(len(stringOf(t))) + between })
		return size
	},
	ast.Replace.Name: func(args []*ast.Term) float64 {
		return replaced(stringOf(args[0]), stringOf(args[1]), stringOf(args[2]))
	},
	ast.ReplaceN.Name: func(args []*ast.Term) float64 {
		patterns, _ := args[0].Value.(ast.Object)
		text := stringOf(args[1])
		size := float64(len(text))
		if patterns != nil {
			patterns.Foreach(func(old, with *ast.Term) { size += replaced(text, stringOf(old), stringOf(with)) - float64(len(text)) })
		}
		return size
	},
	ast.RegexReplace.Name: func(args []*ast.Term) float64 {
		text, with := stringOf(args[0]), float64(len(stringOf(args[2])))
		size := float64(len(text)) + float64(len(text)+1)*with
		if size <= maxResult {
			return size
		}
		pattern, err := regexp.Compile(stringOf(args[1]))
		if err != nil {
			return 0
		}
		return float64(len(text)) + float64(len(pattern.FindAllStringIndex(text, -1)))*with
	},
	ast.Sprintf.Name: func(args []*ast.Term) float64 { return formatted(stringOf(args[0]), args[1].Value) },
	ast.Split.Name: func(args []*ast.Term) float64 {
		return float64(strings.Count(stringOf(args[0]), stringOf(args[1]))+1) * termSize
	},
	ast.RegexSplit.Name:    func(args []*ast.Term) float64 { return float64(len(stringOf(args[1]))+1) * termSize },
	ast.JSONMarshal.Name:   func(args []*ast.Term) float64 { return encoded(args[0].Value) },
	ast.YAMLMarshal.Name:   func(args []*ast.Term) float64 { return encoded(args[0].Value) },
	ast.ArrayConcat.Name:   func(args []*ast.Term) float64 { return float64(length(args[0].Value)+length(args[1].Value)) * 8 },
	ast.BitsShiftLeft.Name: func(args []*ast.Term) float64 { return float64(numberOf(args[1])) / 8 },
	ast.NumbersRange.Name: func(args []*ast.Term) float64 {
		return math.Abs(numberOf(args[1])-numberOf(args[0])) * termSize
	},
	ast.NumbersRangeStep.Name: func(args []*ast.Term) float64 {
		return math.Abs(numberOf(args[1])-numberOf(args[0])) / max(1, numberOf(args[2])) * termSize
	},
	ast.NetCIDRExpand.Name: func(args []*ast.Term) float64 { return addresses(stringOf(args[0])) * termSize },
}

func stringOf(t *ast.Term) string {
	s, _ := t.Value.(ast.String)
	return string(s)
}

func numberOf(t *ast.Term) float64 {
	n, _ := t.Value.(ast.Number)
	f, _ := n.Float64()
	return f
}

func length(v ast.Value) int {
	switch v := v.(type) {
	case *ast.Array:
		return v.Len()
	case ast.Set:
		return v.Len()
	default:
		return 0
	}
}

// forEach calls f for each element of an array or a set.
func forEach(v ast.Value, f func(*ast.Term)) {
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(f)
	case ast.Set:
		v.Foreach(f)
	}
}

// replaced returns the length of text with each old text replaced.
func replaced(text, old, with string) float64 {
	return float64(len(text)) + float64(strings.Count(text, old))*float64(max(0, len(with)-len(old)))
}

// formatted returns an upper bound for the length of the result of sprintf.
func formatted(format string, arguments ast.Value) float64 {
	all, longest := 0.0, 0.0
	forEach(arguments, func(t *ast.Term) {
		size := encoded(t.Value)
		all, longest = all+size, max(longest, size)
	})
	size, directives := float64(len(format)), 0
	directive, indexed := false, false
	number := 0 // the digits so far of a width or a precision in a directive
	for _, c := range []byte(format) {
		switch {
		case c == '%':
			directive, number = !directive, 0
			directives++
		case directive && c >= '0' && c <= '9':
			number = min(number*10+int(c-'0'), maxWidth)
		case directive:
			size += float64(number)
			if c == '*' {
				size += maxWidth
			}
			number, indexed = 0, indexed || c == '['
			directive = !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
		}
	}
	if indexed { // Only then can it print an argument more than once.
		all = float64(directives) * longest
	}
	return size + all
}

// encoded returns about the length of a value as JSON, at most a little more than maxResult. Values
// can share parts, so that the text can be exponentially longer than the value.
func encoded(v ast.Value) float64 {
	size := 0.0
	_ = walk(v, func(v ast.Value) error {
		switch v := v.(type) {
		case ast.String:
			size += float64(len(v)) + 3
		case ast.Number:
			size += float64(len(v)) + 1
		default:
			size += 6
		}
		if size > maxResult {
			return errResult
		}
		return nil
	})
	return size
}

// walk calls f for a value and all values in it, until f returns an error.
func walk(v ast.Value, f func(ast.Value) error) error {
	if err := f(v); err != nil {
		return err
	}
	switch v := v.(type) {
	case *ast.Array:
		return v.Iter(func(t *ast.Term) error { return walk(t.Value, f) })
	case ast.Set:
		return v.Iter(func(t *ast.Term) error { return walk(t.Value, f) })
	case ast.Object:
		return v.Iter(func(key, t *ast.Term) error {
			if err := walk(key.Value, f); err != nil {
				return err
			}
			return walk(t.Value, f)
		})
	default:
		return nil
	}
}

// addresses returns the number of addresses in a CIDR, 0 if it is none.
func addresses(cidr string) float64 {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return 0
	}
	return math.Exp2(float64(prefix.Addr().BitLen() - prefix.Bits()))
}
