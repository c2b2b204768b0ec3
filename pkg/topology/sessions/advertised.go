package sessions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Advertised is prefixAdvertisements and the nodes that use them. Nodes is nil for those of the
// BGPConfiguration "default".
type Advertised struct {
	List  []calico.Advertisement
	Nodes *bitset.BitSet

	text string
}

// confining are the communities that keep a node from passing routes on (RFC 1997).
var confining = []string{"65535:65281", "65535:65282", "65535:65283"}

// advertisements returns Network.Advertised. Nodes with equal prefixAdvertisements are one
// element. If no BGPFilter reads communities and none of them is a well-known one, they do not
// decide which routes pass, and advertisements returns one empty element unless communities is set.
// O(BGPConfigurations).
func (c *Sessions) advertisements(f calico.Family) []Advertised {
	out := []Advertised{{}}
	byText := map[string]int{"": 0}
	read := c.communities || strings.Contains(c.filters.all, `\"communities\"`)
	for _, one := range c.snapshot.BGPConfigurations() {
		list, ok := one.Advertisements(f)
		if !ok {
			continue
		}
		read = read || slices.ContainsFunc(list, func(a calico.Advertisement) bool {
			return slices.ContainsFunc(a.Communities, func(c string) bool { return slices.Contains(confining, c) })
		})
		text := fmt.Sprintf("%s %v\n", f, list)
		if one.Name == calico.Default {
			out[0].List, out[0].text = list, text
			continue
		}
		i, found := c.index.Find(one.NodeOf())
		if !found || one.NodeOf() == "" {
			continue
		}
		k, known := byText[text]
		if !known {
			k = len(out)
			byText[text] = k
			out = append(out, Advertised{List: list, Nodes: bitset.New(c.index.Len()), text: text})
		}
		out[k].Nodes.Set(i)
		out[k].text += one.NodeOf() + "\n"
	}
	if !read {
		return []Advertised{{}}
	}
	return out
}

// SameAdvertised reports whether two networks have the same prefixAdvertisements in the same order, whose nodes may
// differ.
func (n *Network) SameAdvertised(other *Network) bool {
	return slices.EqualFunc(n.Advertised, other.Advertised, func(a, b Advertised) bool { return a.text == b.text })
}

// Adds returns the index, in Advertised, of the prefixAdvertisements of class g.
func (n *Network) Adds(g uint32) int {
	for i, a := range n.Advertised {
		if a.Nodes != nil && a.Nodes.Test(uint(n.Classes.List[g].First[0])) {
			return i
		}
	}
	return 0
}
