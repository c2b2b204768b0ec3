package junit

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCasesAreCountedAndWritten(t *testing.T) {
	s := Suite{Name: "audit", Time: Seconds(1234567 * time.Microsecond)}
	s.Add(Case{Class: "c", Name: "passed", File: "a.yaml", Line: 3, Time: Seconds(0), Output: "<x>"})
	s.Add(Case{Class: "c", Name: "failed", Failure: &Result{Type: "denied", Message: `"a" & b`, Text: "a\nb\x00"}})
	s.Add(Case{Class: "c", Name: "broken", Error: &Result{Message: "m"}})
	s.Add(Case{Class: "c", Name: "passed over", Skipped: &Result{}})
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="audit" tests="4" failures="1" errors="1" skipped="1" time="1.235">
    <testcase classname="c" name="passed" file="a.yaml" line="3" time="0.000">
      <system-out>&lt;x&gt;</system-out>
    </testcase>
    <testcase classname="c" name="failed">
      <failure type="denied" message="&#34;a&#34; &amp; b">a&#xA;b` + "\ufffd" + `</failure>
    </testcase>
    <testcase classname="c" name="broken">
      <error message="m"></error>
    </testcase>
    <testcase classname="c" name="passed over">
      <skipped></skipped>
    </testcase>
  </testsuite>
  <testsuite name="empty" tests="0" failures="0" errors="0" skipped="0"></testsuite>
</testsuites>
`
	var b strings.Builder
	if err := Write(&b, s, Suite{Name: "empty"}); err != nil || b.String() != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, b.String(), want)
	}
}

// full is a writer with space for left bytes.
type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, errFull
	}
	f.left -= len(p)
	return len(p), nil
}

func TestErrorsOfTheWriterAreTold(t *testing.T) {
	var whole strings.Builder
	if err := Write(&whole, Suite{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := Write(&full{n}, Suite{Name: "s"}); !errors.Is(err, errFull) {
			t.Errorf("error %v after %d bytes of %d", err, n, whole.Len())
		}
	}
}
