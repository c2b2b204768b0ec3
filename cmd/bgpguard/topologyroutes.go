package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// showsRoutes reports whether the flags ask for the routes of one node or external peer.
func (o *topologyOptions) showsRoutes() bool { return o.routes || o.peer != "" }

// validateRoutes validates --routes, --peer and -o.
func (o *topologyOptions) validateRoutes() error {
	switch {
	case o.peer != "" && (o.node != "" || o.routes):
		return errors.New("flag --peer excludes --node and --routes: it shows the routes that one external peer receives")
	case o.routes && o.node == "":
		return errors.New("flag --routes requires --node: the name of the node whose routes to show")
	case !o.showsRoutes():
		return report.TopologyFormats.Validate(o.output)
	}
	if o.peer != "" {
		if _, err := netip.ParseAddr(o.peer); err != nil {
			return fmt.Errorf("flag --peer must be an IP address, is %q", o.peer)
		}
	}
	return report.RoutesFormats.Validate(o.output)
}

// writeRoutes writes the routes of a node or external peer. Both states are the same if there is no
// change.
func (o *topologyOptions) writeRoutes(ctx context.Context, before, after *state.Snapshot, stdout io.Writer) error {
	out := &report.Routes{Node: o.node, Peer: o.peer, Transit: o.node != "" && o.externalPeers == carry, Changed: o.changes()}
	query, err := topology.NewRouteQuery(ctx, after)
	if err != nil {
		return err
	}
	known := []*topology.RouteQuery{query}
	if out.Changed {
		earlier, err := topology.NewRouteQuery(ctx, before)
		if err != nil {
			return err
		}
		known = append(known, earlier)
		if out.Before, err = o.tables(ctx, earlier.Beside(query)); err != nil {
			return err
		}
		query = query.Beside(earlier)
	}
	if out.Tables, err = o.tables(ctx, query); err != nil {
		return err
	}
	if o.peer != "" && len(out.Tables)+len(out.Before) == 0 {
		return o.unknownPeer(known)
	}
	return writeFormat(stdout, report.RoutesFormats, o.output, out)
}

// tables returns the routes of the node or external peer of the flags, by family.
func (o *topologyOptions) tables(ctx context.Context, query *topology.RouteQuery) ([]topology.RouteTable, error) {
	if o.node != "" {
		return query.Node(ctx, o.node, o.externalPeers == carry)
	}
	one, err := query.Peer(ctx, netip.MustParseAddr(o.peer).Unmap())
	if one == nil {
		return []topology.RouteTable{}, err
	}
	return []topology.RouteTable{*one}, nil
}

// unknownPeer returns the error for an address that is no external peer in any of the states.
func (o *topologyOptions) unknownPeer(states []*topology.RouteQuery) error {
	var peers []string
	for _, query := range states {
		peers = append(peers, query.ExternalPeers()...)
	}
	slices.Sort(peers)
	peers = slices.Compact(peers)
	if len(peers) == 0 {
		return fmt.Errorf("flag --peer: no node has a half-session with %s, and there are no external peers", o.peer)
	}
	const listed = 10
	return fmt.Errorf("flag --peer: no node has a half-session with an external peer %s; there %s: %s", o.peer,
		text.Either(len(peers), "is one external peer", "are "+text.Count(len(peers), "external peer")), text.Names(peers[:min(len(peers), listed)], len(peers)))
}
