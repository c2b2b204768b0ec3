package calico

// Down reports whether o is being deleted, or is a Node that is not ready.
func Down(o Object) bool {
	n, ok := o.(*Node)
	return ok && n.NotReady
}
