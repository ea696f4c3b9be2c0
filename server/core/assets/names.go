package assets

import (
	"mime"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"crema/server/base/fault"
)

// Bounds of what a client may choose, in bytes.
const (
	maxFilename    = 500
	maxContentType = 200
)

// CleanName returns the name that a path below /files/ stands for: a clean relative path without ".."
// and "+", which says of itself the same. It may be empty. Wire: skygear §2.9.
func CleanName(p string) string {
	for {
		clean := strings.ReplaceAll(p, "+", "")
		clean = strings.TrimLeft(path.Clean("/"+clean), "/.")
		clean = strings.ReplaceAll(clean, "..", "")
		if clean == p { // else what was taken out may have brought dots together
			return clean
		}
		p = clean
	}
}

// newName makes the name of a new asset. Wire: skygear §2.9, T43: what CleanName takes out of a URL is
// taken out here too, else the name could not be reached.
func newName(filename string) (string, error) {
	clean := CleanName(filename)
	if !storable(clean) || len(filename) > maxFilename {
		return "", fault.Argument("assets.bad_name", "filename",
			"filename must be a name of at most %d bytes, without control characters, and more than dots and plus signs", maxFilename)
	}
	dir, file := path.Split(clean)
	return dir + uuid.NewString() + "-" + file, nil
}

// storable says whether an asset can have this clean name.
func storable(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
}

// newKey makes the key of an object. It tells nothing and cannot be guessed; the first part spreads the
// objects over folders.
func newKey() string {
	id := uuid.NewString()
	return id[:2] + "/" + id
}

func checkContentType(contentType string) error {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err == nil && strings.Contains(mediaType, "/") && len(contentType) <= maxContentType {
		return nil
	}
	return fault.Argument("assets.bad_content_type", "content-type", "content-type must be a media type such as image/png, of at most %d bytes", maxContentType)
}
