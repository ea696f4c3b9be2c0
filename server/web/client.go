package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the networks whose word about a request counts. None: the connection's other end is the
// client. (chi's ClientIPFromXFF does the same at the price of a context for every request.)
type proxies []netip.Prefix

// direct says whether the request comes straight from a trusted proxy.
func (p proxies) direct(r *http.Request) bool {
	if len(p) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.trusts(peer.Addr())
}

func (p proxies) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// clientIP walks X-Forwarded-For from the right and stops at the first address that is no proxy of
// ours. What stands left of it, or of anything unreadable, may be invented.
func (p proxies) clientIP(r *http.Request) string {
	peer := r.RemoteAddr
	if i := strings.LastIndexByte(peer, ':'); i > 0 {
		peer = strings.Trim(peer[:i], "[]")
	}
	if !p.direct(r) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return peer
		}
		if peer = ip.Unmap().String(); !p.trusts(ip) {
			return peer
		}
	}
	return peer
}

// local says whether the request comes from this machine and not through a proxy on it.
func local(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback() &&
		r.Header["X-Forwarded-For"] == nil && r.Header["Forwarded"] == nil && r.Header["X-Real-Ip"] == nil
}
