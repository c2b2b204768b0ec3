package sessions

import (
	"net/netip"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func TestTransitPeers(t *testing.T) {
	peer := func(address string, asn int64) calicotest.Spec {
		return calicotest.Spec{"peerIP": address, "asNumber": asn}
	}
	for name, c := range map[string]struct {
		entries []string
		spec    calicotest.Spec
		want    bool
	}{
		"no entry":                         {nil, peer("192.0.2.1", 64800), false},
		"the name":                         {[]string{"tor"}, peer("192.0.2.1", 64800), true},
		"another name":                     {[]string{"tor-b"}, peer("192.0.2.1", 64800), false},
		"the AS number":                    {[]string{"64800"}, peer("192.0.2.1", 64800), true},
		"another AS number":                {[]string{"64801"}, peer("192.0.2.1", 64800), false},
		"AS 0, which means unset":          {[]string{"0"}, calicotest.Spec{"peerIP": "192.0.2.1"}, false},
		"the address":                      {[]string{"192.0.2.1"}, peer("192.0.2.1", 64800), true},
		"the address beside a port":        {[]string{"192.0.2.1"}, peer("192.0.2.1:1790", 64800), true},
		"the address in another form":      {[]string{"2001:db8:0::1"}, peer("2001:db8::1", 64800), true},
		"another address":                  {[]string{"192.0.2.2"}, peer("192.0.2.1", 64800), false},
		"a CIDR":                           {[]string{"192.0.2.0/24"}, peer("192.0.2.1", 64800), true},
		"a CIDR with host bits":            {[]string{"192.0.2.7/24"}, peer("192.0.2.1", 64800), true},
		"one of two CIDRs":                 {[]string{"198.51.100.0/25", "192.0.2.0/31"}, peer("192.0.2.1", 64800), true},
		"a CIDR of IPv6":                   {[]string{"2001:db8::/64"}, peer("2001:db8::1", 64800), true},
		"a CIDR of the other family":       {[]string{"::/0"}, peer("192.0.2.1", 64800), false},
		"a CIDR without the address":       {[]string{"192.0.2.2/31"}, peer("192.0.2.1", 64800), false},
		"what is neither, which is a name": {[]string{"192.0.2.0/33"}, peer("192.0.2.1", 64800), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NewTransitPeers(c.entries).has(calicotest.BGPPeer(t, "tor", c.spec)); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestAddressesOfOtherMachines(t *testing.T) {
	for address, want := range map[string]bool{
		"192.0.2.1": true, "169.254.1.1": true, "fe80::1": true, "2001:db8::1": true,
		"127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false, "224.0.0.5": false, "ff02::5": false, "255.255.255.255": false,
	} {
		if got := unusableKind(netip.MustParseAddr(address)) == ""; got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
}
