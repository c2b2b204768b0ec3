package main

import "testing"

func TestReleases(t *testing.T) {
	last := len(rulesets) - 1
	for want, list := range map[string][]ruleset{
		"":                                      nil,
		"all releases":                          rulesets,
		"releases before v3.25":                 rulesets[:1],
		"releases since v3.33":                  rulesets[last:],
		"releases since v3.25 and before v3.33": rulesets[1:last],
		"releases before v3.25, releases since v3.33": {rulesets[0], rulesets[last]},
		"releases before v3.26, releases since v3.32": {rulesets[0], rulesets[1], rulesets[last-1], rulesets[last]},
		"releases since v3.32 and before v3.33":       rulesets[last-1 : last],
	} {
		t.Run(want, func(t *testing.T) {
			if got := releasesOf(list); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
