package agent

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhatIsAnotherNetwork(t *testing.T) {
	networks := func(list string) (all []netip.Prefix) {
		for n := range strings.FieldsSeq(list) {
			all = append(all, netip.MustParsePrefix(n))
		}
		return all
	}
	for _, row := range []struct {
		name, was, now string
		gone, came     bool
	}{
		{"the same", "192.0.2.1/32 2001:db8::/64", "192.0.2.1/32 2001:db8::/64", false, false},
		{"none, and still none", "", "", false, false},
		{"the cable is pulled", "192.0.2.1/32", "", true, false},
		{"the cable is back", "", "192.0.2.1/32", false, true},
		{"a VPN comes", "192.0.2.1/32", "10.0.0.1/32 192.0.2.1/32", false, true},
		{"a VPN goes", "10.0.0.1/32 192.0.2.1/32", "192.0.2.1/32", true, false},
		{"another address", "192.0.2.1/32", "192.0.2.2/32", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			was, now := networks(row.was), networks(row.now)
			if gone, came := missing(was, now), missing(now, was); gone != row.gone || came != row.came {
				t.Errorf("gone %v, came %v", gone, came)
			}
		})
	}
}
