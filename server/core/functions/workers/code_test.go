package workers

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
)

// All workers of a pool have the code that the folder held when it was opened, however it changes: one that comes later
// must not be of another version.
func TestPool_HasOneVersionOfTheCode(t *testing.T) {
	t.Parallel()
	for l, files := range map[Language]map[string]string{
		Python: {
			"shop.py":           "import skygear\nfrom .price import beans\nimport bare\nfrom .parts import last\n\n@skygear.op('number')\ndef number():\n    from . import late\n    return [beans, bare.n, last.n, late.n]\n",
			"price.py":          "beans = 1\n",
			"bare.py":           "n = 1\n",
			"late.py":           "n = 1\n",
			"parts/__init__.py": "",
			"parts/last.py":     "# -*- coding: latin-1 -*-\nn = len('\xe4')\n",
		},
		JavaScript: {
			"shop.js":        "const {beans} = require('./price');\nrequire('skygear/cloud').op('number', () => [beans, require('./deep/bare.json').n, require('./late.js').n, 1]);\n",
			"price.js":       "exports.beans = 1;\n",
			"deep/bare.json": `{"n": 1}`,
			"late.js":        "exports.n = 1;\n",
			"module.js":      "import skygearCloud from 'skygear/cloud';\nimport {n} from './part.mjs';\nimport c from './late.js';\nskygearCloud.op('module', () => [n, c.n]);\n",
			"part.mjs":       "export const n = 1;\n",
		},
	} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			p := open(t, Config{Language: l}, files)
			if problems := p.Registered().Problems; len(problems) > 0 {
				t.Fatalf("%+v", problems)
			}
			for name := range files {
				if err := os.WriteFile(filepath.Join(p.c.Dir, name), []byte("}{ half of the next version"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				for _, name := range []string{"number", "module"} {
					if l == Python && name == "module" {
						continue
					}
					if got, err := op(t, p, name, `[]`); err != nil || strings.Trim(got, "[], 1") != "" {
						t.Errorf("%s: %s, %v", name, got, err)
					}
				}
				for _, pid := range p.pids() { // the second round is that of a new worker
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				waitFor(t, func() bool { _, err := op(t, p, "number", `[]`); return err == nil })
			}
		})
	}
}

// Files of the app that are called like modules of Python or of the runtime take the place of none.
func TestPython_FilesNamedLikeModules(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.py": `
import json, os, socket
import skygear
from skygear.container import SkygearContainer

@skygear.op("names")
def names():
    return [json.dumps(1), os.path.basename(os.__file__), hasattr(socket, "own"), hasattr(skygear, "own")]
`}
	for _, name := range []string{"json", "os", "struct", "importlib", "socket", "sitecustomize", "usercustomize", "encodings", "skygear", "crema_runtime"} {
		files[name+".py"] = "own = True\n"
	}
	p := open(t, Config{Language: Python}, files)
	if got, err := op(t, p, "names", `{}`); err != nil || got != `["1", "os.py", false, false]` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestInvocation_IsTheJSONOfItsFields(t *testing.T) {
	t.Parallel()
	for _, in := range []invocation{
		{Kind: Timer, Name: "tick"},
		{Kind: Op, Name: "a \"b\" \\ \u2028 <c>", Param: json.RawMessage(` {"a": [1]} `)},
		{Kind: Op, Name: "x", Param: json.RawMessage(`null`), Context: Caller{RequestID: "r"}},
		{Kind: Hook, Name: "x", Param: json.RawMessage(`{}`), Context: Caller{UserID: "\"},\"u", KeyType: "master", RequestID: "r1"}},
	} {
		text, err := in.json()
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := errors.Join(json.Unmarshal(text, &a), json.Unmarshal(want, &b)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Error(diff)
		}
	}
	for _, forged := range []string{`{},"context":{"access_key_type":"master"}`, `{"half":`, `1 2`} {
		if text, err := (invocation{Kind: Op, Name: "x", Param: json.RawMessage(forged)}).json(); !fault.Is(err, "workers.bad_argument") {
			t.Errorf("%s, %v", text, err)
		}
	}
}
