package skygear

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"crema/server/base/fault"
	"crema/server/core/assets"
	"crema/server/core/records"
	"crema/server/web"
)

func (d *Door) assetActions() map[string]action {
	return map[string]action{"asset:put": {keyed, d.putAsset}}
}

// putAsset announces a file and says where its bytes go.
func (d *Door) putAsset(ctx context.Context, w http.ResponseWriter, c call) error {
	a := assets.Announcement{Filename: records.Text(c.params, "filename"), ContentType: records.Text(c.params, "content-type")}
	size, err := contentSize(c.params)
	switch {
	case a.Filename == "":
		err = fault.Argument("assets.no_filename", "filename", "filename must be the name of the file")
	case a.ContentType == "":
		err = fault.Argument("assets.no_content_type", "content-type", "content-type must be the media type of the file")
	}
	if err != nil {
		return err
	}
	a.Size = size
	asset, err := d.c.Assets.Put(ctx, a)
	if err != nil {
		return err
	}
	action := url.URL{Path: "/files/" + asset.Name}
	web.WriteJSON(w, http.StatusOK, map[string]any{"result": map[string]any{
		"asset": asset, "post-request": map[string]string{"action": action.EscapedPath()},
	}})
	return nil
}

// contentSize reads a number of bytes; JavaScript's numbers are doubles.
func contentSize(p records.Params) (int64, error) {
	var f *float64
	if err := json.Unmarshal(p["content-size"], &f); err != nil || f == nil || *f != float64(int64(*f)) {
		return 0, fault.Argument("assets.bad_size", "content-size", "content-size must be the number of bytes of the file, from 0")
	}
	return int64(*f), nil
}
