package server

import "os"

// replica returns the name of this process: of the pod, or of the node in a pod on
// the host network.
func replica() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
