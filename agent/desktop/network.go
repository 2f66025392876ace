package desktop

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Networks are those that this computer is in now, in order: an address of IPv4 each, and of IPv6 only its network, since
// addresses there come and go by themselves. Loopback and link-local ones are left out, and those of interfaces that are
// down. A connection lives no longer than the network it was made from. It may be called from any goroutine and asks
// only the system.
func Networks() ([]netip.Prefix, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("networks of this computer: %w", err)
	}
	var all []netip.Prefix
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("networks of this computer: %w", err)
		}
		for _, a := range addresses {
			if n, ok := networkOf(a.String()); ok {
				all = append(all, n)
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all), nil
}

func networkOf(address string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		return netip.Prefix{}, false
	}
	ip := p.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return netip.Prefix{}, false
	}
	if ip.Is4() {
		return netip.PrefixFrom(ip, 32), true
	}
	return netip.PrefixFrom(ip, 64).Masked(), true
}
