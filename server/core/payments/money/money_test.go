package money

import "testing"

func TestMoney_String(t *testing.T) {
	t.Parallel()
	for m, want := range map[Money]string{
		{1000, "usd"}: "10.00 USD", {5, "usd"}: "0.05 USD", {1000, "jpy"}: "1000 JPY", {1230, "kwd"}: "1.230 KWD",
		{Max, "usd"}: "999999.99 USD",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d %s: got %q, want %q", m.Minor, m.Currency, got, want)
		}
	}
}

func TestMoney_Fault(t *testing.T) {
	t.Parallel()
	for m, ok := range map[Money]bool{
		{50, "usd"}: true, {49, "usd"}: false, {Max, "usd"}: true, {Max + 1, "usd"}: false, {0, "xof"}: false, {1, "xof"}: true,
		{-1, "usd"}: false, {50, "USD"}: false, {50, "us"}: false, {1230, "kwd"}: true, {1231, "kwd"}: false,
		{20000, "huf"}: true, {20050, "huf"}: false, {50, "jpy"}: true, {49, "jpy"}: false,
	} {
		if got := m.Fault(); (got == "") != ok {
			t.Errorf("%d %s: %q", m.Minor, m.Currency, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, currency string
		want           int64 // -1: refused
	}{
		{"2.50", "usd", 250},
		{"250", "usd", 250},
		{"0.05", "USD", 5},
		{"0", "usd", 0},
		{"007", "usd", 7},
		{"250", "jpy", 250},
		{"1.234", "kwd", 1234},
		{"99999999", "usd", 99999999},
		{"2.5", "usd", -1},
		{"2.", "usd", -1},
		{".50", "usd", -1},
		{"2.500", "usd", -1},
		{"2.5", "jpy", -1},
		{"2.", "jpy", -1},
		{"-1", "usd", -1},
		{"+1", "usd", -1},
		{"1e3", "usd", -1},
		{"1,00", "usd", -1},
		{"1.-5", "usd", -1},
		{"", "usd", -1},
		{"100000000", "usd", -1},
		{"18446744073709551616", "usd", -1},
		{"1_0", "usd", -1},
		{" 1", "usd", -1},
		{"0x1", "usd", -1},
	} {
		got, ok := Parse(c.text, c.currency)
		if ok != (c.want >= 0) || ok && got.Minor != c.want {
			t.Errorf("%q %s: %d %v", c.text, c.currency, got.Minor, ok)
		}
	}
}
