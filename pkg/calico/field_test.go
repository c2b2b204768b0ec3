package calico

import (
	"strings"
	"testing"
)

func TestDiffers(t *testing.T) {
	decoded := func(text string) Object {
		if text == "" {
			return nil
		}
		o, err := DecodeStoredJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	served := func(labels string) string {
		return `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","labels":{` + labels + `}},"spec":{"podCIDR":"10.0.0.0/24"}}`
	}
	whole := func(labels string) string {
		return strings.Replace(served(labels), `"kind":"Node","apiVersion":"v1"`, `"apiVersion":"v1","kind":"Node"`, 1)
	}
	peer := func(spec string) string {
		return `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{` + spec + `}}`
	}
	for name, c := range map[string]struct {
		before, after, path string
		want                bool
	}{
		"a label":                           {served(`"a":"1"`), served(`"a":"2"`), "metadata labels a", true},
		"another label":                     {served(`"a":"1","b":"1"`), served(`"a":"1","b":"2"`), "metadata labels a", false},
		"a label is added":                  {served(``), served(`"a":""`), "metadata labels a", true},
		"all labels":                        {served(`"a":"1"`), served(`"a":"2"`), "metadata labels", true},
		"an annotation that is not there":   {served(`"a":"1"`), served(`"a":"2"`), "metadata annotations a", false},
		"below a label":                     {served(`"a":"1"`), served(`"a":"2"`), "metadata labels a b", false},
		"a field of the whole document":     {served(`"a":"1"`), served(`"a":"2"`), "spec podCIDR", false},
		"a Node that was decoded otherwise": {served(`"a":"1"`), whole(`"a":"1"`), "metadata labels a", false},
		"one with another label":            {whole(`"a":"1"`), served(`"a":"2"`), "metadata labels a", true},
		"a number":                          {peer(`"asNumber":1`), peer(`"asNumber":2`), "spec asNumber", true},
		"the same number":                   {peer(`"asNumber":1`), peer(`"asNumber":1,"node":"n"`), "spec asNumber", false},
		"a list":                            {peer(`"filters":["a"]`), peer(`"filters":["b"]`), "spec filters", true},
		"the same list":                     {peer(`"filters":["a"]`), peer(`"filters":["a"]`), "spec filters", false},
		"a create":                          {"", peer(``), "spec asNumber", true},
		"a delete":                          {peer(``), "", "spec asNumber", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Differs(decoded(c.before), decoded(c.after), strings.Fields(c.path)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
