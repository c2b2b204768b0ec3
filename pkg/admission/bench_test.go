package admission

import "testing"

// BenchmarkRespond is a request without HTTP and without the judgement: the
// change is decoded, the decision turned into a response.
func BenchmarkRespond(b *testing.B) {
	for name, h := range map[string]*Handler{
		"allowed": New(fakeCluster{}, always(allowed())),
		"denied":  New(fakeCluster{}, always(denied())),
	} {
		b.Run(name, func(b *testing.B) {
			req := request(update, v1, "BGPPeer", "a", peer(v1, "a", goodSpec), peer(v1, "a", goodSpec))
			b.ReportAllocs()
			for b.Loop() {
				if r := h.Handle(b.Context(), req); r.Allowed != (name == "allowed") {
					b.Fatal(r.Result)
				}
			}
		})
	}
}
