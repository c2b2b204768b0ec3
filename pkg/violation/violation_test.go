package violation

import (
	"slices"
	"testing"
)

func TestFieldsArePathsIntoTheObject(t *testing.T) {
	for name, c := range map[string]struct {
		details map[string]any
		want    []string
	}{
		"a path stays":                           {map[string]any{"field": "spec.peerSelector"}, []string{"spec.peerSelector"}},
		"a label is metadata":                    {map[string]any{"field": "metadata.labels.rack"}, []string{"metadata.labels.rack"}},
		"a name is one of the spec":              {map[string]any{"field": "asNumber"}, []string{"spec.asNumber"}},
		"several come behind the one":            {map[string]any{"field": "a", "fields": []any{"spec.b", "c.d"}}, []string{"spec.a", "spec.b", "spec.c.d"}},
		"what is no text is none":                {map[string]any{"field": 3, "fields": []any{nil, "", "a"}}, []string{"spec.a"}},
		"what is no list holds none":             {map[string]any{"fields": "a"}, nil},
		"a violation without details names none": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&Violation{Details: c.details}).Fields(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSee(t *testing.T) {
	for name, c := range map[string]struct {
		links []string
		want  string
	}{
		"no link":                {nil, ""},
		"no link that is known":  {[]string{"", ""}, ""},
		"one":                    {[]string{"a"}, "See a"},
		"one for two violations": {[]string{"a", "", "a"}, "See a"},
		"two":                    {[]string{"b", "a"}, "See b and a"},
		"three":                  {[]string{"a", "b", "a", "c"}, "See a, b and c"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := See(c.links...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheLinkComesBehindTheMessage(t *testing.T) {
	v := Violation{Message: "m"}
	if got := v.Text(); got != "m" {
		t.Errorf("without a link: %q", got)
	}
	if v.Link = "https://example.com"; v.Text() != "m (https://example.com)" {
		t.Errorf("with one: %q", v.Text())
	}
}
