package remote

import (
	"bufio"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"crema/server/base/fault"
)

// ignored are the lines of .skyignore, in the grammar of .gitignore. What a line brings back is back with all that is in it.
type ignored []line

type line struct {
	names  *regexp.Regexp
	again  bool // what it names is wanted after all
	folder bool // it names folders only
	base   bool // it names the last part of a path, at any depth
}

func readIgnored(root fs.FS) (lines ignored, err error) {
	f, err := root.Open(".skyignore")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cli.unreadable", ".skyignore cannot be read")
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		text := strings.TrimSpace(s.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		l, err := parse(text)
		if err != nil { // what the author wants to keep at home must not be sent by a slip
			return nil, fault.Wrap(err, fault.Invalid, "cli.bad_ignore", ".skyignore has a line that is not understood: %s", text)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func parse(text string) (l line, err error) {
	text, l.again = strings.CutPrefix(text, "!")
	text, l.folder = strings.CutSuffix(text, "/")
	l.base = !strings.Contains(text, "/")
	l.names, err = regexp.Compile("(?s)^" + pattern(strings.TrimPrefix(text, "/")) + "$")
	return l, err
}

// pattern is a regular expression for names that fit text.
func pattern(text string) string {
	var b strings.Builder
	for text != "" {
		switch {
		case strings.HasPrefix(text, "**/"):
			b.WriteString("(?:.*/)?")
			text = text[3:]
			continue
		case strings.HasPrefix(text, "**"):
			b.WriteString(".*")
			text = text[2:]
			continue
		case text[0] == '*':
			b.WriteString("[^/]*")
		case text[0] == '?':
			b.WriteString("[^/]")
		case text[0] == '[' && strings.Contains(text, "]"):
			class, rest, _ := strings.Cut(text[1:], "]")
			if not, ok := strings.CutPrefix(class, "!"); ok {
				class = "^" + not
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			text = rest
			continue
		case text[0] == '\\' && len(text) > 1:
			text = text[1:]
			fallthrough
		default:
			b.WriteString(regexp.QuoteMeta(text[:1]))
		}
		text = text[1:]
	}
	return b.String()
}

// negated says whether something inside an ignored folder may be wanted.
func (i ignored) negated() bool {
	return slices.ContainsFunc(i, func(l line) bool { return l.again })
}

// match says whether a file or folder is ignored, by itself or with a folder that it is in. The last line that has to do with it decides.
func (i ignored) match(name string, folder bool) (yes bool) {
	for _, l := range i {
		for at, isFolder := name, folder; at != "."; at, isFolder = path.Dir(at), true {
			subject := at
			if l.base {
				subject = path.Base(at)
			}
			if (isFolder || !l.folder) && l.names.MatchString(subject) {
				yes = !l.again
			}
		}
	}
	return yes
}
