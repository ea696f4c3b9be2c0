package app

import (
	"context"

	"crema/server/core/push"
	"crema/server/core/users"
)

// openRooms opens the rooms between records and functions, in the order of the rooms. Each has an open
// function of its own, which names its end with onStop.
func (a *App) openRooms(ctx context.Context) error {
	for _, open := range []func(context.Context) error{
		a.openUsers,
		a.openPubsub,
		a.openPush,
	} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) openUsers(context.Context) error {
	a.rooms.users = users.New(a.db)
	return nil
}

func (a *App) openPush(context.Context) error {
	a.rooms.push = push.New(push.Config{DB: a.db, Records: a.rooms.records, Log: a.log})
	a.rooms.schema.OnCreate(a.rooms.push.Created)
	return nil
}
