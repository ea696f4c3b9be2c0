package app

import (
	"context"

	"crema/server/core/users"
)

// openRooms opens the rooms between records and functions, in the order of the rooms. Each has an open
// function of its own, which names its end with onStop.
func (a *App) openRooms(ctx context.Context) error {
	for _, open := range []func(context.Context) error{
		a.openUsers,
		a.openPubsub,
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
