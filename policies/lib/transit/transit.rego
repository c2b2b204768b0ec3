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
