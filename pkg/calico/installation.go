package calico

import "cmp"

// OverlayInstallation is the name of the Installation whose fields have precedence over those of
// the Installation "default".
const OverlayInstallation = "overlay"

// Installation is an Installation of tigera-operator, which installs Calico and writes some of its
// objects. The operator reads the ones named "default" and "overlay" (tigera/operator,
// pkg/controller/utils/utils.go).
type Installation struct {
	Metadata

	// BGP is "Enabled" or "Disabled", "" if unset. Otherwise RunsBIRD has the default.
	BGP string
	// ClusterRoutingMode says who programs the routes to pods on other nodes, "" if unset. It
	// exists since the operator of Calico v3.32.
	ClusterRoutingMode string
	// LinuxDataplane is "Iptables" if unset.
	LinuxDataplane string
	// CNI is the type of the CNI plugin, Provider the Kubernetes provider, "" if unset.
	CNI, Provider string
	// IPPools are the IPPools that the operator manages. They are nil if unset: the operator then
	// manages none if the cluster has IPPools.
	IPPools []InstallationPool
}

// InstallationPool is an IPPool in an Installation. Fields are empty or nil if unset.
type InstallationPool struct {
	Name, CIDR, Encapsulation, NATOutgoing, NodeSelector, AssignmentMode string
	AllowedUses                                                          []string
	BlockSize                                                            int
	DisableBGPExport, DisableNewAllocations                              bool
}

// bgpEnabled is the value of Installation.BGP with which calico-node runs BIRD.
const bgpEnabled = "Enabled"

// PluginCalico is the CNI plugin of Calico.
const PluginCalico = "Calico"

func decodeInstallation(m Metadata, spec *fields) *Installation {
	i := &Installation{Metadata: m, Provider: spec.text("kubernetesProvider")}
	i.CNI = spec.object("cni").text("type")
	network := spec.object("calicoNetwork")
	i.BGP, i.ClusterRoutingMode = network.text("bgp"), network.text("clusterRoutingMode")
	i.LinuxDataplane = cmp.Or(network.text("linuxDataplane"), "Iptables")
	if network.has("ipPools") {
		i.IPPools = []InstallationPool{}
		for _, pool := range network.objects("ipPools") {
			i.IPPools = append(i.IPPools, InstallationPool{
				Name: pool.text("name"), CIDR: pool.text("cidr"), Encapsulation: pool.text("encapsulation"), NATOutgoing: pool.text("natOutgoing"),
				NodeSelector: pool.text("nodeSelector"), AssignmentMode: pool.text("assignmentMode"), AllowedUses: pool.texts("allowedUses"),
				BlockSize: int(pool.number("blockSize", 0, 128)), DisableBGPExport: pool.flag("disableBGPExport"), DisableNewAllocations: pool.flag("disableNewAllocations"),
			})
		}
	}
	if i.Name != Default && i.Name != OverlayInstallation {
		i.problem("metadata.name", "%q is neither %q nor %q, so tigera-operator ignores the object", i.Name, Default, OverlayInstallation)
	}
	return i
}

// Plugin returns the type of the CNI plugin, with the operator's default for the provider (operator
// v1.43, pkg/controller/installation/core_controller.go, fillDefaults).
func (i *Installation) Plugin() string {
	switch {
	case i.CNI != "":
		return i.CNI
	case i.Provider == "AKS":
		return "AzureVNET"
	case i.Provider == "EKS":
		return "AmazonVPC"
	case i.Provider == "GKE":
		return "GKE"
	default:
		return PluginCalico
	}
}

// RunsBIRD reports whether calico-node runs BIRD. i is the Installation "default" and overlay the
// one named "overlay"; either may be nil. Without an Installation, something else installs Calico,
// and BIRD counts as running. While it is terminating the operator removes calico-node. If bgp is
// unset, the operator enables BGP for Calico's CNI plugin, except on EKS.
func (i *Installation) RunsBIRD(overlay *Installation) bool {
	switch {
	case i == nil:
		return true
	case i.DeletionTimestamp != "":
		return false
	case overlay != nil && overlay.BGP != "":
		return overlay.BGP == bgpEnabled
	case i.BGP != "":
		return i.BGP == bgpEnabled
	default:
		return i.Plugin() == PluginCalico && i.Provider != "EKS"
	}
}

// Restarts reports whether every calico-node restarts if the Installation replaces before: bgp and
// linuxDataplane are in the environment of calico-node (tigera/operator, pkg/render/node.go).
func (i *Installation) Restarts(before *Installation) bool {
	return i.RunsBIRD(nil) != before.RunsBIRD(nil) || i.LinuxDataplane != before.LinuxDataplane
}

// Terminating returns the Installation as a delete leaves it: tigera-operator removes calico-node
// while its finalizers hold the object, and without finalizers Kubernetes removes what the object
// owns.
func (i *Installation) Terminating() *Installation {
	out := *i
	if out.DeletionTimestamp == "" {
		out.DeletionTimestamp = deletedNow
	}
	return &out
}

// deletedNow stands for the time of a delete, which decides nothing.
const deletedNow = "1970-01-01T00:00:00Z"
