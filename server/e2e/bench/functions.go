package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// other is an echo function in another language than Go, and how much longer than Go's it may take.
type other struct {
	program, file, name, text string
	slower                    time.Duration
}

var others = []other{
	{"python3", "echo.py", "py_echo", "import skygear\n\n\n@skygear.op(\"py_echo\")\ndef echo(message, count):\n    return {\"message\": message, \"count\": count}\n", 250 * time.Microsecond},
	{"node", "echo.js", "js_echo", "const {op} = require('skygear/cloud');\nop('js_echo', ({args: {message, count}}) => ({message, count}));\n", 150 * time.Microsecond},
}

// writeFunctions writes those that this machine can run.
func writeFunctions(dir string) error {
	errs := []error{os.Mkdir(dir, 0o755)}
	for _, o := range others {
		if _, err := exec.LookPath(o.program); err == nil {
			errs = append(errs, os.WriteFile(filepath.Join(dir, o.file), []byte(o.text), 0o644))
		}
	}
	return errors.Join(errs...)
}

// functionCases compare the server with itself: a function in another language beside the one in Go.
func (b *bench) functionCases(echo func(name string) request) (cases []benchCase) {
	for _, o := range others {
		if _, err := os.Stat(filepath.Join(b.dir, "lambdas", o.file)); err != nil {
			continue
		}
		cases = append(cases, benchCase{
			name: o.program + " echo beside Go's", slower: o.slower,
			ours: target{b.ours, echo(o.name), 1}, floor: target{b.ours, echo("echo"), 1},
		})
	}
	return cases
}
