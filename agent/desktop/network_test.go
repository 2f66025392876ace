package desktop

import (
	"net/netip"
	"slices"
	"testing"
)

func TestWhatCountsAsANetwork(t *testing.T) {
	for _, row := range []struct{ name, address, want string }{
		{"an address of IPv4", "192.0.2.7/24", "192.0.2.7/32"},
		{"an address of IPv6 is its network", "2001:db8::1234/64", "2001:db8::/64"},
		{"another address in it is the same", "2001:db8::abcd/128", "2001:db8::/64"},
		{"loopback is none", "127.0.0.1/8", ""},
		{"loopback of IPv6 is none", "::1/128", ""},
		{"link-local is none", "fe80::1/64", ""},
		{"nor of IPv4", "169.254.1.2/16", ""},
		{"something else", "x", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			n, ok := networkOf(row.address)
			if ok != (row.want != "") || ok && n != netip.MustParsePrefix(row.want) {
				t.Errorf("%v %v", n, ok)
			}
		})
	}
}

// Asked twice, the system says the same, in order.
func TestNetworksAreInOrder(t *testing.T) {
	first, err := Networks()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Networks()
	if err != nil || !slices.Equal(first, again) || !slices.IsSortedFunc(first, netip.Prefix.Compare) {
		t.Error(first, again, err)
	}
}
