package app

import (
	"context"
	"encoding/json"
	"time"

	"crema/server/base/pg"
	"crema/server/core/pubsub"
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

func (a *App) openUsers(ctx context.Context) error {
	u, p := a.c.Users, a.c.Users.Passwords
	a.rooms.users = users.New(users.Config{
		DB: a.db, Records: a.rooms.records, Schema: a.rooms.schema, AuthKeys: u.AuthKeys, TokenLife: u.TokenLife,
		CustomTokenSecret: u.CustomTokenSecret.Reveal(), VerifyRequired: u.VerifyRequired, HashKey: a.derive("log-in counts"),
		Policy: users.Policy{
			MinLength: p.MinLength, Uppercase: p.Uppercase, Lowercase: p.Lowercase, Digit: p.Digit, Symbol: p.Symbol,
			ExcludedKeywords: p.ExcludedKeywords, ExcludedFields: p.ExcludedFields, MinGuessable: p.MinGuessable,
			HistorySize: p.HistorySize, HistoryDays: p.HistoryDays, ExpiryDays: p.ExpiryDays,
		},
		Limits: users.Limits{
			FailuresPerAccount: int(u.Limits.FailuresPerAccount), FailuresPerAddress: int(u.Limits.FailuresPerAddress),
			Window: time.Duration(u.Limits.WindowSeconds) * time.Second,
		},
	})
	return a.rooms.users.Start(ctx)
}

func (a *App) openPush(ctx context.Context) error {
	a.rooms.push = push.New(push.Config{
		DB: a.db, Records: a.rooms.records, Log: a.log,
		Publish: func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
			return a.rooms.pubsub.PublishIn(ctx, tx, pubsub.Internal, channel, data)
		},
	})
	a.rooms.schema.OnCreate(a.rooms.push.Created)
	if err := a.rooms.push.Start(ctx); err != nil {
		return err
	}
	a.onStop(func(context.Context) { a.rooms.push.Stop() })
	return nil
}
