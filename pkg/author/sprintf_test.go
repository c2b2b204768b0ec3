package author

import "testing"

func TestVerbsAreThoseOfFmt(t *testing.T) {
	for format, want := range map[string]struct {
		arguments int
		err       string
	}{
		"plain":             {0, ""},
		"100%% of %s":       {1, ""},
		"%d of %5d, %-8.2f": {3, ""},
		"%v %+v %#x %q":     {4, ""},
		"%[2]s %[1]s":       {2, ""}, // The format chooses its arguments.
		"%*d":               {2, ""},
		"äöü %s":            {1, ""},
		"%s":                {0, "sprintf: the format has 1 verb, and there are 0 arguments: give each verb one argument"},
		"none":              {1, "sprintf: the format has 0 verbs, and there is 1 argument: give each verb one argument"},
		"%s and %s":         {1, "sprintf: the format has 2 verbs, and there is 1 argument: give each verb one argument"},
		"50%":               {0, "sprintf: the format ends with an incomplete verb %: write %% for a percent sign"},
		"50% ":              {0, "sprintf: the format ends with an incomplete verb % : write %% for a percent sign"},
		"50%, %s":           {1, "sprintf: %, is not a verb: write %% for a percent sign"},
		"%y":                {1, "sprintf: %y is not a verb: write %% for a percent sign"},
	} {
		got := ""
		if _, err := verbsOf(format, want.arguments); err != nil {
			got = err.Error()
		}
		if got != want.err {
			t.Errorf("%q with %d arguments: %q, want %q", format, want.arguments, got, want.err)
		}
	}
}

// Every kind of object is created, updated and deleted in the samples, so that a policy that
// evaluates changes runs on each.
func TestSamplesChangeEveryKind(t *testing.T) {
	list, err := samples()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range list {
		if s.change.Before == nil && s.change.After == nil {
			continue
		}
		got[string(s.change.Operation())+" "+string(s.change.ID().Kind)] = true
	}
	for _, kind := range []string{"Node", "BGPConfiguration", "BGPPeer", "IPPool", "FelixConfiguration"} {
		for _, operation := range []string{"CREATE", "UPDATE", "DELETE"} {
			if !got[operation+" "+kind] {
				t.Errorf("no %s of a %s", operation, kind)
			}
		}
	}
}
