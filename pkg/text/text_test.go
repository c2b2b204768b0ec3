package text

import "testing"

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Number(7140):                       "7,140",
		Count(1, "node"):                   "1 node",
		Count(0, "node"):                   "0 nodes",
		Count(12497500, "node"):            "12,497,500 nodes",
		Count(2, "half", "halves"):         "2 halves",
		Either(1, "is", "are"):             "is",
		Either(0, "is", "are"):             "are",
		SomeOf([]string{"a", "b"}, 2):      "a, b",
		SomeOf([]string{"a", "b"}, 4979):   "a, b and 4,977 more",
		SomeOf(nil, 1500):                  "1,500",
		SomeOf(nil, 0):                     "",
		"one: " + SomeOf([]string{"a"}, 1): "one: a",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
