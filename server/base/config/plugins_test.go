package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/config"
	"crema/server/base/fault"
)

func TestLoad_Plugins(t *testing.T) {
	t.Parallel()
	look := func(env map[string]string) config.Env {
		return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	}
	c, err := config.Load(look(map[string]string{
		"PLUGINS": "PY, node,", "PY_TRANSPORT": "http", "PY_PATH": "http://127.0.0.1:8000", "node_TRANSPORT": "HTTP", "node_PATH": "https://node.example/x",
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]config.Plugin{{Name: "PY", URL: "http://127.0.0.1:8000"}, {Name: "node", URL: "https://node.example/x"}}, c.Plugins); diff != "" {
		t.Error(diff)
	}
	for _, env := range []map[string]string{
		{"PLUGINS": "A"},
		{"PLUGINS": "A", "A_TRANSPORT": "zmq", "A_PATH": "tcp://*:5555"},
		{"PLUGINS": "A", "A_TRANSPORT": "exec", "A_PATH": "py-skygear"},
		{"PLUGINS": "A", "A_TRANSPORT": "http"},
		{"PLUGINS": "A", "A_TRANSPORT": "http", "A_PATH": "http://u:p@127.0.0.1"},
		{"PLUGINS": "A,A", "A_TRANSPORT": "http", "A_PATH": "http://127.0.0.1:8000"},
		{"PLUGINS": "a-b"},
	} {
		if _, err := config.Load(look(env), nil); !fault.Is(err, "config.invalid") {
			t.Errorf("%v is taken: %v", env, err)
		}
	}
}
