package app

import (
	"context"

	"crema/server/core/pubsub"
	"crema/server/web"
	"crema/server/web/skygear/sockets"
)

func (a *App) openPubsub(ctx context.Context) error {
	a.rooms.pubsub = pubsub.New(pubsub.Config{
		DB: a.db, Log: a.log, Limits: pubsub.Limits{MessageBytes: int(a.c.Pubsub.MessageBytes)},
	})
	if err := a.rooms.pubsub.Start(ctx); err != nil {
		return err
	}
	a.onStop(a.rooms.pubsub.Stop)
	return nil
}

// openSockets opens the door of the websockets, which ends before the room.
func (a *App) openSockets(gate *web.Gate) *sockets.Door {
	a.sockets = sockets.New(sockets.Config{
		Gate: gate, Room: a.rooms.pubsub, Log: a.log, Metrics: a.metrics,
		Sockets: int(a.c.Pubsub.Sockets), PerAddress: int(a.c.Pubsub.SocketsPerAddress),
	})
	a.sockets.Start()
	a.onStop(a.sockets.Stop)
	return a.sockets
}
