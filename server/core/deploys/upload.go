package deploys

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"

	"crema/server/base/fault"
	"crema/server/core/deploys/archive"
)

// Upload announces an archive. Its id is a secret: whoever knows it may send the archive.
func (s *Service) Upload(ctx context.Context, by string) (id string, err error) {
	id = rand.Text()
	_, err = s.c.DB.Exec(ctx, sqlAddUpload, id, by)
	return id, err
}

// Expects refuses an id for which no archive is waited. Reason deploys.no_upload.
func (s *Service) Expects(ctx context.Context, id string) error {
	_, err := s.sender(ctx, id)
	return err
}

// sender is the operator who announced an archive.
func (s *Service) sender(ctx context.Context, id string) (by string, err error) {
	err = s.c.DB.Get(ctx, &by, sqlExpected, id)
	if fault.Is(err, "pg.no_rows") {
		err = fault.New(fault.NotFound, "deploys.no_upload", "no archive is expected here")
	}
	return by, err
}

// Receive makes an archive a version. What is wrong with it is told by Take: the sender does not understand an answer
// here. An error is ours.
func (s *Service) Receive(ctx context.Context, id string, from io.Reader) error {
	by, err := s.sender(ctx, id)
	if err != nil {
		return err
	}
	version, err := s.receive(ctx, by, from)
	problem := ""
	if f := fault.From(err); f != nil {
		if problem = f.Message; f.Code == fault.Internal || f.Code == fault.DatabaseUnavailable {
			return err
		}
	}
	var v *int64
	if err == nil {
		v = &version
	}
	n, err := s.c.DB.Exec(ctx, sqlReceived, id, v, problem)
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "deploys.no_upload", "no archive is expected here")
	}
	return err
}

func (s *Service) receive(ctx context.Context, by string, from io.Reader) (int64, error) {
	var files []File
	sizes := map[string]File{}
	err := archive.Read(from, func(f archive.File, body []byte) error {
		sum := sha256.Sum256(body)
		kept := File{Path: f.Path, Hash: sum[:], Size: int64(len(body)), Mode: f.Mode}
		files, sizes[f.Path] = append(files, kept), kept
		missing, err := s.Missing(ctx, [][]byte{sum[:]})
		if err != nil || len(missing) == 0 {
			return err
		}
		return s.store.keep(ctx, sum[:], body)
	}, func(f archive.File, target string) error {
		kept := sizes[target]
		kept.Path = f.Path
		files = append(files, kept)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return s.create(ctx, by, files)
}

// Take accepts an archive that has been received. Reason deploys.bad_upload says what is wrong with it.
func (s *Service) Take(ctx context.Context, by, id string) error {
	var u struct {
		Version *int64 `db:"version"`
		Problem string `db:"problem"`
	}
	err := s.c.DB.Get(ctx, &u, sqlUpload, id, by)
	switch {
	case fault.Is(err, "pg.no_rows"):
		return fault.New(fault.NotFound, "deploys.no_upload", "no archive is expected here")
	case err != nil:
		return err
	case u.Problem != "":
		return fault.New(fault.Invalid, "deploys.bad_upload", "%s", u.Problem)
	case u.Version == nil:
		return fault.New(fault.Invalid, "deploys.bad_upload", "the archive did not arrive; run the same command again")
	}
	_, err = s.c.DB.Exec(ctx, sqlTake, id)
	return err
}

// Build deploys the archive that an operator's Take has accepted last. It returns the job. Reason deploys.no_upload.
func (s *Service) Build(ctx context.Context, by string) (job string, err error) {
	var version int64
	err = s.c.DB.Get(ctx, &version, sqlTaken, by)
	if fault.Is(err, "pg.no_rows") {
		err = fault.New(fault.Invalid, "deploys.no_upload", "no archive has been sent; run the same command again")
	}
	if err != nil {
		return "", err
	}
	return s.begin(ctx, by, deployed, func(context.Context) (*int64, error) { return &version, nil })
}
