package ipc

import (
	"errors"
	"net/netip"
)

// loopbackPeer cannot tell: what lsof reads is no interface that is promised to stay.
func loopbackPeer(_, _ netip.AddrPort) (Peer, error) { return Peer{}, errors.ErrUnsupported }

func identify(p Peer, _, _ netip.AddrPort) Peer { return p }
