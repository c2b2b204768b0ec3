# The node-to-node mesh must not have more than maxNodes nodes.
package bgpmeshlimit

violation contains {"msg": msg} if {
	input.review.object.metadata.name == "default"
	mesh_is_on
	nodes := count(addresses) - count(reflectors)
	nodes > input.parameters.maxNodes
	msg := sprintf("the node-to-node mesh would have %d nodes, the limit is %d", [nodes, input.parameters.maxNodes])
}

# Without a BGPConfiguration, or without this field, the mesh is on.
mesh_is_on if input.review.operation == "DELETE"

mesh_is_on if object.get(input.review.object, ["spec", "nodeToNodeMeshEnabled"], true)

# The nodes with BGP. Only these leaves of 5,000 Nodes are read, which is faster than a loop over the Nodes.
addresses := [address |
	address := data.inventory.cluster.v1.Node[_].metadata.annotations["projectcalico.org/IPv4Address"]
]

# The nodes that are not in the mesh.
reflectors := [id |
	id := data.inventory.cluster.v1.Node[_].metadata.annotations["projectcalico.org/RouteReflectorClusterID"]
]
