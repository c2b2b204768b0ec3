package picture

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// look is how a role or a kind of link is drawn. Fills are light tints and strokes
// are dark shades of hues that people with the common kinds of color blindness can
// tell apart; shapes, line styles and widths carry the same information.
type look struct {
	key string // a role of topology, a kind of link, or roleExternal
	// one and many are the name in the singular and in the plural.
	one, many string
	// dot and d2 are the attributes in Graphviz's DOT and in D2.
	dot, d2 string
}

// roleExternal is the role of external peers.
const roleExternal = "external"

// roles are in order of rank, the highest first. Links are drawn downwards.
var roles = []look{
	{
		roleExternal, "external peer", "external peers",
		`shape=house, fillcolor="#E8D9E5", color="#6D3A5D"`,
		`shape: cloud; style: {fill: "#E8D9E5"; stroke: "#6D3A5D"; font-color: "#111111"}`,
	},
	{
		topology.RoleReflector, "route reflector", "route reflectors",
		`shape=hexagon, fillcolor="#F6C875", color="#7A4B00", penwidth=3`,
		`shape: hexagon; style: {fill: "#F6C875"; stroke: "#7A4B00"; stroke-width: 3; font-color: "#111111"}`,
	},
	{
		topology.RoleClient, "reflector client", "reflector clients",
		`shape=box, fillcolor="#C3E2F8", color="#0B4F79"`,
		`shape: rectangle; style: {fill: "#C3E2F8"; stroke: "#0B4F79"; font-color: "#111111"}`,
	},
	{
		topology.RoleMesh, "mesh node", "mesh nodes",
		`shape=ellipse, fillcolor="#B4E2D2", color="#00543D"`,
		`shape: oval; style: {fill: "#B4E2D2"; stroke: "#00543D"; font-color: "#111111"}`,
	},
	{
		topology.RolePeer, "node with other sessions only", "nodes with other sessions only",
		`shape=parallelogram, fillcolor="#F5EEA8", color="#5C5600"`,
		`shape: parallelogram; style: {fill: "#F5EEA8"; stroke: "#5C5600"; font-color: "#111111"}`,
	},
	{
		topology.RoleIsolated, "isolated node", "isolated nodes",
		`shape=octagon, style="filled,dashed", fillcolor="#FFFFFF", color="#B83200", penwidth=4`,
		`shape: rectangle; style: {fill: "#FFFFFF"; stroke: "#B83200"; stroke-width: 5; stroke-dash: 4; font-color: "#111111"}`,
	},
}

// kinds are the kinds of links. Their colors are visible on light and dark pages.
var kinds = []look{
	{
		topology.LinkReflector, "reflected session", "reflected sessions",
		`color="#C07000", penwidth=4`,
		`style: {stroke: "#C07000"; stroke-width: 5}`,
	},
	{
		topology.LinkMesh, "mesh session", "mesh sessions",
		`color="#12906B", penwidth=1.5`,
		`style: {stroke: "#12906B"; stroke-width: 2}`,
	},
	{
		topology.LinkPeer, "other session", "other sessions",
		`color="#2E7DB8", style=dashed, penwidth=1.5`,
		`style: {stroke: "#2E7DB8"; stroke-width: 2; stroke-dash: 5}`,
	},
	{
		topology.LinkExternal, "external session", "external sessions",
		`color="#A5649A:white:#A5649A", penwidth=1.5`,
		`style: {stroke: "#A5649A"; stroke-width: 5; stroke-dash: 3}`,
	},
	{
		topology.LinkBroken, "broken half-session", "broken half-sessions",
		`color="#D0471A", style=dotted, penwidth=3, dir=both, arrowhead=tee, arrowtail=tee`,
		`style: {stroke: "#D0471A"; stroke-width: 3; stroke-dash: 2}; source-arrowhead: {shape: cross}; target-arrowhead: {shape: cross}`,
	},
}

// lookOf returns the look of a key; the name of an unknown key is the key.
func lookOf(looks []look, key string) look {
	i := slices.IndexFunc(looks, func(l look) bool { return l.key == key })
	if i < 0 {
		return look{key: key, one: key, many: key}
	}
	return looks[i]
}

// states are the looks of what a change does. Same is drawn only in pictures of a change.
var states = []look{
	{
		string(Removed), "removed", "removed by the change",
		`color="#C22F00", style="filled,dashed"`,
		`style: {stroke: "#C22F00"; stroke-width: 4; stroke-dash: 4; font-color: "#A32800"}`,
	},
	{
		string(Added), "added", "added by the change",
		`color="#0A7D3C"`,
		`style: {stroke: "#0A7D3C"; stroke-width: 5; stroke-dash: 0; font-color: "#08662F"}`,
	},
	{
		string(Altered), "altered", "altered by the change",
		`color="#8A3FC0"`,
		`style: {stroke: "#8A3FC0"; stroke-width: 4; stroke-dash: 0; font-color: "#6E2BA0"}`,
	},
	{
		string(Same), "unchanged", "unchanged",
		`color="#8A8F9A"`,
		`style: {stroke: "#8A8F9A"; stroke-width: 2; stroke-dash: 0}`,
	},
}
