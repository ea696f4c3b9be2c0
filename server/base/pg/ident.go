package pg

import (
	"strings"
	"sync"
)

// Ident is a name of a schema, table, column or constraint. It is the one way for a name that is not
// written in a constant to enter a statement.
type Ident string

// SQL returns the name quoted. A name that contains the token is written with an escape, so that
// nothing inside a name is ever taken for the token.
func (i Ident) SQL() string {
	if strings.Contains(string(i), token) {
		return `U&"` + identEscapes.Replace(string(i)) + `"`
	}
	return `"` + strings.ReplaceAll(string(i), `"`, `""`) + `"`
}

var identEscapes = strings.NewReplacer(`"`, `""`, `\`, `\\`, token, `\0061`+token[1:])

// token stands for the app's schema in statements and migrations.
const token = "app."

// binder replaces token by a schema and remembers the results.
type binder struct {
	schema string // quoted, with the dot
	bound  sync.Map
}

func newBinder(schema Ident) *binder { return &binder{schema: schema.SQL() + "."} }

// bind returns q for this schema. Constants are bound once; statements made at run time carry their
// quoted schema already and hold no token, so they do not fill the map.
func (b *binder) bind(q string) string {
	if !strings.Contains(q, token) {
		return q
	}
	if s, ok := b.bound.Load(q); ok {
		return s.(string)
	}
	s := b.replace(q)
	b.bound.Store(q, s)
	return s
}

// replace does the work of bind: a token counts only where a name starts.
func (b *binder) replace(q string) string {
	var out strings.Builder
	for {
		i := strings.Index(q, token)
		if i < 0 {
			out.WriteString(q)
			return out.String()
		}
		out.WriteString(q[:i])
		if i > 0 && inName(q[i-1]) {
			out.WriteString(token)
		} else {
			out.WriteString(b.schema)
		}
		q = q[i+len(token):]
	}
}

func inName(c byte) bool {
	return c == '_' || c == '.' || c == '"' || c == '\'' || c == '@' || c == '-' ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
