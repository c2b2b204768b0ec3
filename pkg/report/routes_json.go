package report

import (
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// routesDocument is what routes.schema.json describes.
type routesDocument struct {
	Node    *string               `json:"node"`
	Peer    *string               `json:"peer"`
	Transit bool                  `json:"transit"`
	Tables  []topology.RouteTable `json:"tables"`
	Changes *routeChanges         `json:"changes,omitempty"`
}

// routeChanges is what only one of two tables contains.
type routeChanges struct {
	Added   []routeDifference `json:"added"`
	Removed []routeDifference `json:"removed"`
}

// routeDifference is what only one of two tables of a family contains.
type routeDifference struct {
	Family   string                   `json:"family"`
	Routes   []topology.RouteGroup    `json:"routes"`
	Dropped  []topology.DroppedRoutes `json:"dropped"`
	Missing  []topology.MissingRoutes `json:"missing"`
	Services []topology.ServiceRoutes `json:"services"`
}

func (r *Routes) document() routesDocument {
	out := routesDocument{Transit: r.Transit, Tables: r.Tables}
	if r.Node != "" {
		out.Node = &r.Node
	} else {
		out.Peer = &r.Peer
	}
	if !r.Changed {
		return out
	}
	out.Changes = &routeChanges{Added: []routeDifference{}, Removed: []routeDifference{}}
	for _, f := range calico.Families {
		before, after := routeTable(r.Before, f.String()), routeTable(r.Tables, f.String())
		groups := compared(before.Routes, after.Routes, (*topology.RouteGroup).Key)
		dropped := compared(before.Dropped, after.Dropped, (*topology.DroppedRoutes).Key)
		missing := compared(before.Missing, after.Missing, (*topology.MissingRoutes).Key)
		services := compared(before.Services, after.Services, (*topology.ServiceRoutes).FullKey)
		for mark, list := range map[string]*[]routeDifference{markAdded: &out.Changes.Added, markRemoved: &out.Changes.Removed} {
			d := routeDifference{f.String(), only(groups, mark), only(dropped, mark), only(missing, mark), only(services, mark)}
			if len(d.Routes)+len(d.Dropped)+len(d.Missing)+len(d.Services) > 0 {
				*list = append(*list, d)
			}
		}
	}
	return out
}
