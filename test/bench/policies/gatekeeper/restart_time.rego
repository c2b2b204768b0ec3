# The graceful restart time of each BGPPeer must be that of the cluster.
package bgprestarttime

violation contains {"msg": msg} if {
	not is_deleted
	actual := object.get(input.review.object, ["spec", "maxRestartTime"], of_bird)
	time.parse_duration_ns(actual) != time.parse_duration_ns(expected)
	msg := sprintf("maxRestartTime is %s, that of the cluster is %s", [actual, expected])
}

is_deleted if input.review.operation == "DELETE"

# The default of BIRD.
of_bird := "120s"

# The parameter, or the value of the cluster's own sessions.
expected := object.get(input.parameters, "restartTime", of_the_mesh)

of_the_mesh := object.get(
	data.inventory.cluster,
	["crd.projectcalico.org/v1", "BGPConfiguration", "default", "spec", "nodeMeshMaxRestartTime"],
	of_bird,
)
