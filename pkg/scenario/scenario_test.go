package scenario

import (
	"bytes"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

func TestTheLibraryKeepsItsScenarios(t *testing.T) {
	scenarios, err := Load([]string{"../../test/scenarios"})
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) == 0 {
		t.Fatal("there are none")
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		t.Run(s.Metadata.Name, func(t *testing.T) {
			r, err := Run(t.Context(), s, library)
			if err != nil {
				t.Fatal(err)
			}
			if s.Title == "" || s.Description == "" {
				t.Error("it has no title or no description")
			}
			if !r.Passed() {
				var text bytes.Buffer
				if err := WriteText(&text, []*Result{r}); err != nil {
					t.Fatal(err)
				}
				t.Error(text.String())
			}
		})
	}
}
