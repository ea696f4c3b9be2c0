package sandbox_test

import (
	"testing"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestAPI_TestCardsHaveTheirOutcomes(t *testing.T) {
	t.Parallel()
	sandboxtest.Outcomes(t, sandboxtest.Start(t, testkit.DB(t), nil))
}

func TestAPI_RefusesAsStripeDoes(t *testing.T) {
	t.Parallel()
	sandboxtest.Refusals(t, sandboxtest.Start(t, testkit.DB(t), nil))
}

func TestAPI_StripeGoScenario(t *testing.T) {
	t.Parallel()
	sandboxtest.Scenario(t, sandboxtest.Start(t, testkit.DB(t), nil))
}

func TestAPI_StripeGoIntents(t *testing.T) {
	t.Parallel()
	sandboxtest.Intents(t, sandboxtest.Start(t, testkit.DB(t), nil))
}

func TestAPI_StripeGoSessions(t *testing.T) {
	t.Parallel()
	sandboxtest.Sessions(t, sandboxtest.Start(t, testkit.DB(t), nil))
}
