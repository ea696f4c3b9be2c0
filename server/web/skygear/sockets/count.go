package sockets

import (
	"crema/server/base/fault"
	"crema/server/core/pubsub"
)

// reserve counts a socket that is about to open. Stop waits until it is released.
func (d *Door) reserve(s *socket) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stopping:
		return fault.New(fault.Unavailable, "sockets.stopping", "the server is stopping; connect again")
	case d.count >= d.c.Sockets:
		return fault.New(fault.RateLimited, "sockets.full", "the server has all the websockets that pubsub.sockets allows; try again later")
	case s.address != "" && d.addresses[s.address] >= d.c.PerAddress:
		return fault.New(fault.RateLimited, "sockets.address_full", "your address has all the websockets that pubsub.sockets_per_address allows; close some")
	}
	d.running.Add(1)
	d.count++
	d.addresses[s.address]++
	return nil
}

func (d *Door) release(s *socket) {
	defer d.running.Done()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count--
	delete(d.open, s)
	if d.addresses[s.address]--; d.addresses[s.address] == 0 {
		delete(d.addresses, s.address)
	}
}

// start lets a socket live until its peer, an error or Stop ends it.
func (d *Door) start(s *socket, hub pubsub.Hub) {
	s.member = d.c.Room.Join(hub)
	s.pingAt = d.firstPing()
	s.conn.SetReadLimit(int64(d.c.Room.Limits().MessageBytes + maxEnvelope))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[s] = struct{}{}
	if d.stopping { // since reserve
		s.member.Leave(errStopping)
	}
	go s.run()
}
