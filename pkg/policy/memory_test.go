package policy

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// memoryOf returns a watch of a process whose live memory is in the returned variable, in bytes.
func memoryOf(limit int64) (*memoryWatch, *atomic.Int64) {
	live := &atomic.Int64{}
	return &memoryWatch{live: live.Load, limit: func() int64 { return limit }}, live
}

func TestTheLongestEvaluationIsStoppedIfMemoryIsShort(t *testing.T) {
	for name, c := range map[string]struct {
		limit, before, after int64
		want                 bool
	}{
		"little":                           {230 * mib, 80 * mib, 81 * mib, false},
		"a share of what is left":          {230 * mib, 80 * mib, 130 * mib, false},
		"more than its share":              {230 * mib, 80 * mib, 131 * mib, true},
		"a share of little that is left":   {230 * mib, 200 * mib, 211 * mib, true},
		"nothing is left":                  {230 * mib, 240 * mib, 242 * mib, true},
		"nothing is left and it uses none": {230 * mib, 240 * mib, 240 * mib, false},
		"the process has no limit":         {math.MaxInt64, 80 * mib, math.MaxInt64 / 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, live := memoryOf(c.limit)
				live.Store(c.before)
				first, endFirst := m.watch(t.Context())
				time.Sleep(2 * memoryInterval)
				second, endSecond := m.watch(t.Context())
				time.Sleep(2 * memoryInterval)
				live.Store(c.after)
				time.Sleep(2 * memoryInterval)
				if exceeded, ok := errors.AsType[*MemoryError](context.Cause(first)); ok != c.want || ok && exceeded.Used != c.after-c.before {
					t.Errorf("the first: %v", context.Cause(first))
				}
				if second.Err() != nil {
					t.Errorf("the second: %v", context.Cause(second))
				}
				endFirst()
				endSecond()
				if len(m.running) > 0 {
					t.Errorf("%d are still watched", len(m.running))
				}
			})
		})
	}
}

// One that ended has not used what the process uses later.
func TestAnEvaluationThatEndedIsNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, live := memoryOf(230 * mib)
		_, end := m.watch(t.Context())
		time.Sleep(2 * memoryInterval)
		end()
		later, endLater := m.watch(t.Context())
		defer endLater()
		live.Store(200 * mib)
		time.Sleep(4 * memoryInterval)
		if later.Err() != nil {
			t.Error(context.Cause(later))
		}
	})
}

// The stop counts as a failure of the policy: it did not run out of time.
func TestAPolicyThatUsesTooMuchMemoryIsStoppedAndQuarantined(t *testing.T) {
	old := memory
	t.Cleanup(func() { memory = old })
	live := &atomic.Int64{}
	memory = &memoryWatch{live: func() int64 { return live.Add(100 * mib) }, limit: func() int64 { return 230 * mib }}
	p, err := prepare(t, inline("a.rego", a(strings.Replace(always, `"size": 1`,
		`"size": count([1 | some x in numbers.range(1, 30000); some y in numbers.range(1, 30000); x + y < 0])`, 1))))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)
	p.quarantine.now = func() time.Time { return at }
	for range quarantineFailures {
		_, err = p.Evaluate(t.Context(), sample(t), nil)
		if exceeded, ok := errors.AsType[*MemoryError](err); !ok || exceeded.Used != 100*mib {
			t.Fatalf("got %v", err)
		}
		at = at.Add(quarantineSpan)
	}
	if want := "stopped: it used 100 MiB of memory, and the process may use 230 MiB in all; raise the memory limit of the container"; !errors.Is(err, ErrQuarantined) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// OPA does not stop a builtin that is running, so its result is bounded before it begins.
func TestResultsOfBuiltinsAreBounded(t *testing.T) {
	const long = `s := concat("", ["x" | some _ in numbers.range(1, 100000)])`
	for expression, want := range map[string]bool{
		`replace(s, "x", "yyyy")`:                           true,
		`replace(s, "x", s)`:                                false,
		`replace(s, "z", s)`:                                true,
		`strings.replace_n({"x": s}, s)`:                    false,
		`regex.replace(s, "x", s)`:                          false,
		`regex.replace(s, "z", s)`:                          true,
		`concat(s, [s | some _ in numbers.range(1, 50)])`:   true,
		`concat("", [s | some _ in numbers.range(1, 200)])`: false,
		`sprintf("%s%s", [s, s])`:                           true,
		`sprintf("%d of 4200000000 to 4294967294 and 1000000 or 1000000 in %%", [1])`: true,
		`sprintf("%5d%-10s%05.2f%%", [1, "a", 1.5])`:                                  true,
		`sprintf(concat("", ["%999999d" | some _ in numbers.range(1, 20)]), [1])`:     false,
		`sprintf(concat("", ["%*d" | some _ in numbers.range(1, 20)]), [999999, 1])`:  false,
		`sprintf(concat("", ["%[1]s" | some _ in numbers.range(1, 200)]), [s])`:       false,
		`split(s, "x")`:                                                  true,
		`split(concat("", [s, s]), "")`:                                  false,
		`json.marshal([s, s])`:                                           true,
		`json.marshal([s | some _ in numbers.range(1, 200)])`:            false,
		`yaml.marshal({"a": [s | some _ in numbers.range(1, 200)]})`:     false,
		`bits.lsh(1, 1000)`:                                              true,
		`bits.lsh(1, 1000000000)`:                                        false,
		`numbers.range(100000, 1)`:                                       true,
		`numbers.range(1, 1000000000)`:                                   false,
		`numbers.range_step(1, 1000000000, 100000)`:                      true,
		`numbers.range_step(1, 1000000000, 2)`:                           false,
		`net.cidr_expand("10.0.0.0/24")`:                                 true,
		`net.cidr_expand("10.0.0.0/8")`:                                  false,
		`array.concat(numbers.range(1, 10000), numbers.range(1, 10000))`: true,
	} {
		t.Run(expression, func(t *testing.T) {
			p, err := prepare(t, inline("a.rego", a(long+"\n\n"+strings.Replace(always, `"size": 1`, `"size": count([1 | `+expression+` != null])`, 1))))
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Evaluate(t.Context(), sample(t), nil)
			if bounded := err != nil && strings.HasSuffix(err.Error(), errResult.Error()); bounded == want || want && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}
