// Package plugins runs functions in the plugin processes of Skygear v1, py-skygear and skygear-node, which
// somebody else starts: one POST for each call.
//
// Way in: New, Service.Start, Service.Ready, Service.Announce. Config.Install gets the functions.
//
// Invariants:
//   - Nobody else's request passes before every plugin is ready; only the plugins' own may, once all have
//     told what they offer.
//   - A plugin that goes away keeps its functions; calls of them fail. When it comes back it is asked again
//     what it offers, and the answer takes the place of the earlier one, without a closed gate.
//   - A call is sent once. Whether a call whose answer got lost has run is not known, so it fails.
package plugins
