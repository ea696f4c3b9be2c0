// Package pubsub hands short JSON messages from publishers to whoever has subscribed to a channel, on
// every server of the app. Nothing is stored: who is not subscribed at that moment gets nothing.
//
// Way in: Service.Join for one connection, Service.Publish, PublishOnCommit and PublishIn for the server's
// own code. There are two hubs that never mix: Public, the apps' own, and Internal, on whose channels
// "_sub_<device id>" subscription notices travel. Channels have no access list: whoever knows a name may
// listen and speak. The names of devices are random UUIDs, and no answer tells a name to anybody.
//
// Invariants: what one publisher sends to one channel arrives in that order, once, on every server; on
// one server all subscribers of a channel that keep up see one order; memory for slow readers is bounded, and a reader
// that stays full is cut off.
//
// Tables: none. Servers talk over NOTIFY (see relay.go and server/docs/decisions/0014-pubsub-across-servers.md).
package pubsub
