package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/config"
)

func TestLoad_Push(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		want config.Push
	}{
		"nothing":             {nil, config.Push{}},
		"keys without switch": {[]string{"APNS_TOKEN_KEY", "k", "FCM_SERVICE_ACCOUNT_KEY", "{}"}, config.Push{}},
		"a key": {
			[]string{"APNS_ENABLE", "YES", "APNS_ENV", "production", "APNS_TYPE", "token", "APNS_KEY_ID", "i", "APNS_TEAM_ID", "t", "APNS_TOKEN_KEY", "k", "APNS_TOPIC", "shop"},
			config.Push{APNS: &config.APNS{Production: true, KeyID: "i", TeamID: "t", Key: "k", Topic: "shop"}},
		},
		"a key in a file": {
			[]string{"APNS_ENABLE", "1", "APNS_KEY_ID", "i", "APNS_TEAM_ID", "t", "APNS_TOKEN_KEY_PATH", file},
			config.Push{APNS: &config.APNS{KeyID: "i", TeamID: "t", Key: "from a file\n"}},
		},
		"a certificate, as old settings name it": {
			[]string{"APNS_ENABLE", "true", "APNS_CERTIFICATE", "c", "APNS_PRIVATE_KEY", "k"},
			config.Push{APNS: &config.APNS{Certificate: "c", CertificateKey: "k"}},
		},
		"a service account": {
			[]string{"FCM_ENABLE", "true", "FCM_TYPE", "service_account", "FCM_SERVICE_ACCOUNT_KEY_FILE", file},
			config.Push{FCM: &config.FCM{ServiceAccount: "from a file"}},
		},
	} {
		got, err := config.Load(env(c.env...), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got.Push); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLoad_PushFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"APNs without key":    {[]string{"APNS_ENABLE", "1", "APNS_KEY_ID", "i", "APNS_TEAM_ID", "t"}, "APNS_ENABLE is on and APNS_TOKEN_KEY is missing"},
		"APNs without ids":    {[]string{"APNS_ENABLE", "1", "APNS_TOKEN_KEY", "secret"}, "APNS_TEAM_ID is missing"},
		"half a certificate":  {[]string{"APNS_ENABLE", "1", "APNS_CERTIFICATE", "secret"}, "APNS_PRIVATE_KEY is missing"},
		"a wrong environment": {[]string{"APNS_ENABLE", "1", "APNS_ENV", "prod"}, "APNS_ENV is \"prod\""},
		"a wrong type":        {[]string{"APNS_ENABLE", "1", "APNS_TYPE", "x"}, "APNS_TYPE is \"x\""},
		"an unreadable file":  {[]string{"APNS_ENABLE", "1", "APNS_TOKEN_KEY_PATH", "/nowhere/at/all"}, "APNS_TOKEN_KEY_PATH: cannot read"},
		"a server key":        {[]string{"FCM_ENABLE", "1", "FCM_TYPE", "server_key", "FCM_APIKEY", "secret"}, "service account only"},
		"FCM without account": {[]string{"FCM_ENABLE", "1"}, "FCM_SERVICE_ACCOUNT_KEY is missing"},
		"GCM":                 {[]string{"GCM_ENABLE", "yes", "GCM_APIKEY", "secret"}, "Google has switched GCM off"},
		"Baidu":               {[]string{"BAIDU_ENABLE", "yes"}, "not supported"},
	} {
		_, err := config.Load(env(c.env...), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
