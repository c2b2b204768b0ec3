package plan

import (
	"bytes"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// FuzzRead checks that a plan that is read and written is the same plan.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"` + apiVersion + `","kind":"` + Kind + `","steps":[{"title":"a"}]}`))
	f.Add([]byte(`{"kind":"Plan"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(data)
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if err := text.JSON(&once, p); err != nil {
			t.Fatal(err)
		}
		again, err := Read(once.Bytes())
		if err != nil {
			t.Fatalf("%s: what is written does not parse: %v", once.Bytes(), err)
		}
		if err := text.JSON(&twice, again); err != nil || once.String() != twice.String() {
			t.Errorf("%v: %s is written as %s", err, once.String(), twice.String())
		}
	})
}
