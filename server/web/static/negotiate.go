package static

import "strings"

// Qualities are thousandths. An encoding that the client does not name is not acceptable, except the
// file as it is, which is the last resort.
const (
	best       = 1000
	lastResort = 1
)

// accepted is what an Accept-Encoding header says.
type accepted struct{ gzip, zstd, br, identity, others int }

func (a *accepted) of(encoding string) *int {
	switch encoding {
	case "gzip", "x-gzip":
		return &a.gzip
	case "zstd":
		return &a.zstd
	case "br":
		return &a.br
	case "identity":
		return &a.identity
	case "*":
		return &a.others
	}
	return nil
}

// parse reads the header's values. A part that cannot be read counts as not acceptable.
func parse(values []string) accepted {
	const unset = -1
	a := accepted{unset, unset, unset, unset, unset}
	for _, v := range values {
		for v != "" {
			part, rest, _ := strings.Cut(v, ",")
			v = rest
			name, params, _ := strings.Cut(part, ";")
			name = strings.TrimSpace(name)
			q := a.of(name)
			if q == nil {
				q = a.of(strings.ToLower(name))
			}
			if q != nil {
				*q = quality(params)
			}
		}
	}
	for _, q := range []*int{&a.gzip, &a.zstd, &a.br} {
		if *q == unset {
			*q = max(0, a.others)
		}
	}
	if a.identity == unset {
		a.identity = lastResort
		if a.others == 0 {
			a.identity = 0
		}
	}
	return a
}

// quality reads ";q=0.8" in thousandths.
func quality(params string) int {
	params = strings.TrimSpace(params)
	if params == "" {
		return best
	}
	name, value, ok := strings.Cut(params, "=")
	value = strings.TrimSpace(value)
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") || value == "" || (value[0] != '0' && value[0] != '1') {
		return 0
	}
	q, unit := int(value[0]-'0')*best, best/10
	for i, c := range []byte(value[1:]) {
		switch {
		case i == 0 && c == '.':
		case i > 0 && i < 4 && '0' <= c && c <= '9':
			q += int(c-'0') * unit
			unit /= 10
		default:
			return 0
		}
	}
	return min(q, best)
}

// choose returns the variant that the client likes best, the smallest of those it likes equally.
func (f *File) choose(acceptEncoding []string) *variant {
	variants := f.variants.Load()
	if variants == nil || len(acceptEncoding) == 0 {
		return &f.identity
	}
	a := parse(acceptEncoding)
	chosen, top := &f.identity, a.identity
	for i := range *variants {
		v := &(*variants)[i]
		if q := *a.of(v.encoding[0]); q > top || q == top && q > 0 && chosen == &f.identity {
			chosen, top = v, q
		}
	}
	return chosen
}
