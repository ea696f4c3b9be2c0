package payments

import "testing"

func TestMoney_String(t *testing.T) {
	t.Parallel()
	for m, want := range map[Money]string{
		{1000, "usd"}: "10.00 USD", {5, "usd"}: "0.05 USD", {1000, "jpy"}: "1000 JPY", {1230, "kwd"}: "1.230 KWD",
		{MaxMinor, "usd"}: "999999.99 USD",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d %s: got %q, want %q", m.Minor, m.Currency, got, want)
		}
	}
}
