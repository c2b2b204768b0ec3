package routes

// sendKernel sets next to a route that a node of vertex v has from elsewhere than BGP, as it sends it over a session with
// an external peer, and reports whether it does; see Destination.Kernel.
func (f *flood) sendKernel(next *route, v int32, x *ExternalSession) bool {
	if f.first.Kernel == nil || x.Internal {
		return false
	}
	*next = *f.own(v)
	next.at = External
	next.prepend(x.ASN, f.observed.kept)
	var terms Terms
	if x.Policy < len(f.first.Kernel) {
		terms = f.first.Kernel[x.Policy]
	}
	switch result, _ := terms.apply(next, false, false, f.observed); result {
	case rejected:
		return false
	case passed:
		if f.first.Disabled {
			return false
		}
		if adds := f.graph.Vertices[v].Adds; adds < len(f.first.Communities) {
			next.add(f.first.Communities[adds])
		}
	case accepted:
	}
	next.preference = externalPreference
	return true
}

// hasKernel reports whether nodes of vertex v, other than the source, have its route from elsewhere than BGP alone.
func (f *flood) hasKernel(v int32) bool { return f.got[v] == 0 && f.others(v) > 0 }

// kernel records the routes from elsewhere than BGP that nodes send to the external peer that is the target.
func (t *trace) kernel(f *flood) {
	for i, x := range t.target.Taps {
		var next route
		if !f.hasKernel(x.Vertex) || !f.sendKernel(&next, x.Vertex, &x.ExternalSession) {
			continue
		}
		next.sender = x.Vertex
		next.trail = &trail{set: x.NextHop != NextHopKeep, hop: hopUnknown}
		if x.ASN == Anonymous {
			next.trail.own = []int32{x.Vertex}
		}
		t.record(&next, Received{Tap: i})
	}
}
