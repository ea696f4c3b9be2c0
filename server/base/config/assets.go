package config

import (
	"net/url"
	"strconv"
	"strings"
)

// AssetsFolder is the folder of files in the data folder. Package cluster knows it too: the name says that
// the data folder is ours, so it must not be one that projects have.
const AssetsFolder = "assetstore"

// maxAsset bounds ASSET_STORE_MAX. An S3 store takes a file in at most 10,000 parts.
const maxAsset = 50 << 30

// read reads the variables of Skygear's asset store and ours beside them. Wire: skygear §6.
func (a *Assets) read(v *variables) {
	a.Dir, _ = v.get("ASSET_STORE_PATH")
	v.boolean("ASSET_STORE_PUBLIC", &a.Public)
	a.URLPrefix = strings.TrimRight(v.address("ASSET_STORE_URL_PREFIX"), "/")
	a.Secret = v.secret("ASSET_STORE_SECRET")
	if s, ok := v.get("ASSET_STORE_MAX"); ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 1 || n > maxAsset {
			v.p.add("ASSET_STORE_MAX is %q; it must be the largest file in bytes, from 1 to %d", s, int64(maxAsset))
		}
		a.MaxBytes = n
	}
	switch kind, _ := v.get("ASSET_STORE"); kind {
	case "", "fs":
	case "s3":
		a.S3 = readS3(v)
	case "cloud":
		v.p.add("ASSET_STORE is cloud, a service that is gone; use fs or s3")
	default:
		v.p.add("ASSET_STORE is %q; it must be fs or s3", kind)
	}
}

func readS3(v *variables) *S3 {
	s := &S3{Endpoint: v.address("ASSET_STORE_S3_ENDPOINT"), Region: "us-east-1", SecretKey: v.secret("ASSET_STORE_SECRET_KEY")}
	for name, to := range map[string]*string{"ASSET_STORE_REGION": &s.Region, "ASSET_STORE_BUCKET": &s.Bucket, "ASSET_STORE_ACCESS_KEY": &s.AccessKey} {
		if text, ok := v.get(name); ok {
			*to = text
		}
	}
	for _, missing := range []struct{ name, value string }{
		{"ASSET_STORE_BUCKET", s.Bucket}, {"ASSET_STORE_ACCESS_KEY", s.AccessKey}, {"ASSET_STORE_SECRET_KEY", s.SecretKey.Reveal()},
	} {
		if missing.value == "" {
			v.p.add("ASSET_STORE is s3 and %s is missing", missing.name)
		}
	}
	return s
}

// address is a variable that holds the URL of a server; "" when it is not given.
func (v *variables) address(name string) string {
	s, ok := v.get(name)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		v.p.add("%s must be an address such as https://files.example, without query and password", name)
	}
	return s
}
