// Package sdk holds the JavaScript client that the server hands out under /sdk/.
//
// skygear.js serves classic scripts (global skygear), skygear.mjs is the same client as an ES module, and the
// .d.mts and .d.ts files describe it to TypeScript. The source is src/: plain ES modules. There is no build step;
// Script puts them into one file.
package sdk

import (
	"bytes"
	"embed"
	"regexp"

	"crema/server/base/fault"
)

// FS holds the files that are served as they are: skygear.mjs, skygear.d.mts, skygear.d.ts.
//
//go:embed skygear.mjs skygear.d.mts skygear.d.ts
var FS embed.FS

//go:embed src
var source embed.FS

// modules are the parts of skygear.js. What runs while a part is read stands in it or before it.
var modules = []string{
	"errors", "acl", "values", "record", "query", "transport", "database", "relation", "listeners", "pubsub", "auth", "client",
}

var (
	imports  = regexp.MustCompile(`(?m)^import \{[^}]*\} from '\./[a-z]+\.mjs';\n`)
	exports  = regexp.MustCompile(`(?m)^export (async function|function|class|const) `)
	leftOver = regexp.MustCompile(`(?m)^(import|export)\b.*$`)
	comments = regexp.MustCompile(`(?m)^ *//.*\n`)
	blanks   = regexp.MustCompile(`\n{2,}`)
)

// Script returns skygear.js: the modules of src/ without their imports, exports and comments, in one function. It
// fails when a module has an import or export of another form than the others.
func Script() ([]byte, error) {
	all, err := joined()
	if err != nil {
		return nil, err
	}
	frame, err := source.ReadFile("src/skygear.js")
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "sdk.module", "the frame is missing")
	}
	return bytes.Replace(frame, []byte("//MODULES\n"), blanks.ReplaceAll(all, []byte("\n")), 1), nil
}

// CommonJS returns the client as a module for require, which functions in JavaScript use: its classes and the
// conversions of values, without a client that is made already.
func CommonJS() ([]byte, error) {
	all, err := joined()
	if err != nil {
		return nil, err
	}
	return append(append([]byte("'use strict';\n"), all...),
		"module.exports = {SkygearClient, Record, Query, SkygearError, ErrorCodes, toJSON, fromJSON};\n"...), nil
}

// joined is the modules in one text.
func joined() ([]byte, error) {
	var all bytes.Buffer
	for _, name := range modules {
		b, err := source.ReadFile("src/" + name + ".mjs")
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "sdk.module", "the module %s is missing", name)
		}
		b = exports.ReplaceAll(imports.ReplaceAll(b, nil), []byte("$1 "))
		if line := leftOver.Find(b); line != nil {
			return nil, fault.New(fault.Internal, "sdk.module", "%s: cannot take out %q", name, line)
		}
		all.Write(comments.ReplaceAll(b, nil))
	}
	return all.Bytes(), nil
}
