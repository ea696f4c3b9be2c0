// Package push knows the devices of users, what they have subscribed to, and sends them notices: over the
// websocket when a record changes, and through Apple's and Google's services.
//
// Way in: Register and Unregister for devices; Subscribe, Subscriptions and Unsubscribe; ToUsers and
// ToDevices. Tables: app._device, app._subscription, app._record_change; it drains
// public.pending_notification where an old database brings it.
//
// Invariants: a device belongs to its owner, and to others it does not exist. A subscriber hears of a
// change only where the owner of the device would have found the record, as it was then, by the
// subscription's own query: record access, field access and roles decide as in records.Query, and the
// master key that saved a subscription gives it no rights. The trigger that notes changes stands only on
// types that have had a subscription; it sees direct SQL too. A noted change is removed by the transaction
// that puts its notices on their way, so a crash loses none and repeats none, on however many servers; the
// numbers of a subscription's notices grow by one and tell nothing of other changes. A subscription or a change that cannot be judged is skipped and logged: it holds nobody else up. What goes
// through a push service is a job of base/jobs. Wire: skygear §2.8, T42, B12, B13.
package push
