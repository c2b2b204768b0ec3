package calico

import (
	"fmt"
	"testing"
)

func TestExplain(t *testing.T) {
	labels := map[string]string{"rack": "a", "bgp": "off", "empty": ""}
	for text, want := range map[string]string{
		"all()":                                     "true [all()]",
		"global()":                                  "true [global()]",
		"rack == 'a'":                               `true [rack == 'a' (rack is "a")]`,
		"rack != 'a'":                               `false [rack != 'a' (rack is "a")]`,
		"rack == 'b' && has(x) && has(rack)":        `false [rack == 'b' (rack is "a") has(x) (no label x)]`,
		"has(rack) && has(bgp)":                     `true [has(rack) (rack is "a") has(bgp) (bgp is "off")]`,
		"rack == 'b' || bgp == 'off'":               `true [bgp == 'off' (bgp is "off")]`,
		"rack == 'b' || bgp == 'on'":                `false [rack == 'b' (rack is "a") bgp == 'on' (bgp is "off")]`,
		"!has(bgp)":                                 `false [!has(bgp) (bgp is "off")]`,
		"!(rack == 'a' && bgp == 'off')":            `false [!(rack == 'a') (rack is "a") !(bgp == 'off') (bgp is "off")]`,
		"!!has(empty)":                              `true [has(empty) (empty is "")]`,
		"rack in {'b', 'a'}":                        `true [rack in {'a', 'b'} (rack is "a")]`,
		"rack not in {'a'}":                         `false [rack not in {'a'} (rack is "a")]`,
		"x contains 'y'":                            "false [x contains 'y' (no label x)]",
		"bgp starts with 'o' && rack ends with 'b'": `false [rack ends with 'b' (rack is "a")]`,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		matches, clauses := s.Explain(labels)
		if got := fmt.Sprint(matches, " ", clauses); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if matches != s.Matches(labels) {
			t.Errorf("%s: Explain and Matches differ", text)
		}
	}
}
