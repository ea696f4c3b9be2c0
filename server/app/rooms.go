package app

import (
	"context"
	"encoding/json"
	"time"

	"crema/server/base/jobs"
	"crema/server/base/pg"
	"crema/server/core/pubsub"
	"crema/server/core/push"
	"crema/server/core/push/apns"
	"crema/server/core/push/fcm"
	"crema/server/core/users"
	"crema/server/web"
	"crema/server/web/skygear/sockets"
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
		Providers:         a.provider,
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

// openPush opens the room and the queue that its messages wait in.
func (a *App) openPush(ctx context.Context) error {
	senders, err := a.senders()
	if err != nil {
		return err
	}
	queue := jobs.New(jobs.Config{DB: a.db, App: string(a.db.Schema()), Listen: a.hear, Log: a.log})
	a.rooms.push = push.New(push.Config{
		DB: a.db, Records: a.rooms.records, Jobs: queue, Senders: senders, Log: a.log,
		Publish: func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error {
			return a.rooms.pubsub.PublishIn(ctx, tx, pubsub.Internal, channel, data)
		},
	})
	a.rooms.schema.OnCreate(a.rooms.push.Created)
	for _, part := range []interface {
		Start(ctx context.Context) error
		Stop()
	}{a.rooms.push, queue} {
		if err := part.Start(ctx); err != nil {
			return err
		}
		a.onStop(func(context.Context) { part.Stop() })
	}
	return nil
}

// hear is jobs.Listen.
func (a *App) hear(ctx context.Context, channel string, heard func()) (func(), error) {
	l, err := a.db.Listen(ctx, channel, func(string, bool) { heard() })
	if err != nil {
		return nil, err
	}
	return l.Stop, nil
}

// senders are the push services that are configured, by the type of the devices that they reach.
func (a *App) senders() (map[string]push.Sender, error) {
	senders := map[string]push.Sender{}
	if c := a.c.Push.APNS; c != nil {
		s, err := apns.New(apns.Config{
			KeyID: c.KeyID, TeamID: c.TeamID, Key: []byte(c.Key.Reveal()), Certificate: []byte(c.Certificate.Reveal()),
			CertificateKey: []byte(c.CertificateKey.Reveal()), Topic: c.Topic, Production: c.Production,
		})
		if err != nil {
			return nil, err
		}
		senders["ios"] = s
	}
	if c := a.c.Push.FCM; c != nil {
		s, err := fcm.New(fcm.Config{ServiceAccount: []byte(c.ServiceAccount.Reveal())})
		if err != nil {
			return nil, err
		}
		senders["android"] = s
	}
	return senders, nil
}

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
