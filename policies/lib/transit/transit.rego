# METADATA
# title: Readings of external peers
# description: |
#   Objects do not show whether an external peer passes routes on between nodes. A policy reads the
#   routes with transit, in which all external peers do, and the routes that are known, in which only
#   those in its parameter transitPeers do.
package policies.lib.transit

# METADATA
# description: |
#   Both readings of the routes of a family: its reach, and the clause that the reading assumes. The
#   clause of the reading with transit is empty.
readings(routes, peers) := [
	{"reach": routes.withTransit, "assumes": []},
	{"reach": known(routes, peers), "assumes": [_clause(peers)]},
]

# METADATA
# description: |
#   Both readings and, unless external peers override AS numbers, the one with transit in which they keep AS
#   paths: first if nodes have the links that are not known, and then if they do not. Each has in "transit"
#   the number of pairs without routes with transit, and in "linked" that number of the same reading with
#   these links.
every_reading(routes, peers, as_override) := array.concat(linked, [reading |
	some i, one in _of_peers(_without_links(routes), peers, as_override)
	reading := object.union(one, {
		"assumes": array.concat([_no_link], one.assumes),
		"linked": linked[i].reach.withoutRoute.pairs,
	})
]) if {
	linked := _of_peers(routes, peers, as_override)
}

# METADATA
# description: The clause of the reading in which external peers keep AS paths.
as_paths := "external peers keep AS paths and set their own address as next hop"

# METADATA
# description: |
#   The reach in a family if only the given external peers pass routes on. If the input does not have
#   this reading, none of them is known to.
# scope: document
known(routes, peers) := one.reach if {
	some one in routes.knownTransit
	one.transitPeers == peers
} else := routes.withoutTransit

# METADATA
# description: The key assumption of a violation that assumes some clauses; no key without clauses.
# scope: document
assumption([]) := {}

assumption(clauses) := {"assumption": concat(", and ", clauses)} if count(clauses) > 0

_clause(peers) := "external peers do not pass routes on between nodes" if count(peers) == 0

_clause(peers) := "only the external peers in transitPeers pass routes on between nodes" if count(peers) > 0

_of_peers(routes, peers, as_override) := [object.union(reading, {"transit": routes.withTransit.withoutRoute.pairs}) |
	some reading in array.concat(readings(routes, peers), _kept(routes, as_override))
]

_without_links(routes) := routes if routes.withoutLinks == null

_without_links(routes) := routes.withoutLinks if routes.withoutLinks != null

_no_link := "mesh sessions between AS numbers need a common link, and nodes with /32 or /128 addresses are on none"

_kept(_, true) := []

_kept(routes, false) := [{"reach": routes.withASPaths, "assumes": [as_paths]}]
