package cluster

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"crema/server/base/fault"
)

// account is the operating system user that postgres runs as, when that is not us.
type account struct {
	name     string
	uid, gid int
}

// credential returns nil for a nil account: the child then runs as we do.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids fit
}

// chown gives path to the account; it does nothing for a nil account.
func (a *account) chown(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// chownAll gives a whole tree to the account. Links are not followed.
func (a *account) chownAll(root string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.chown(path)
	})
}

// dropTo returns the account for a new cluster: nil unless we are root, which postgres refuses.
func dropTo() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u)
		}
	}
	return nil, fault.New(fault.NotConfigured, "cluster.owner",
		"PostgreSQL refuses to run as root and there is no user postgres or nobody to run it as; make one, or run the server as an ordinary user")
}

func newAccount(u *user.User) (*account, error) {
	uid, err := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err, err2); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cluster.owner", "user %s has no numeric ids", u.Username)
	}
	return &account{name: u.Username, uid: uid, gid: gid}, nil
}

// owner returns the account that an existing cluster belongs to, nil when that is us. Root serves a
// cluster of any user as that user. A cluster that root got by copying is given to postgres.
func (p place) owner() (*account, error) {
	info, err := os.Stat(p.data())
	if err != nil {
		return nil, folderFault(err, p.data())
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fault.New(fault.Internal, "cluster.owner", "the owner of %s cannot be read", p.data())
	}
	uid, gid := int(st.Uid), int(st.Gid)
	switch {
	case uid == os.Geteuid() && uid != 0:
		return nil, nil
	case os.Geteuid() != 0:
		return nil, fault.New(fault.Denied, "cluster.owner",
			"the cluster in %s belongs to user %s; run the server as that user or as root, or give it to yourself: sudo chown -R %d %s",
			p.home(), userName(uid), os.Geteuid(), p.home())
	case uid != 0:
		return &account{name: userName(uid), uid: uid, gid: gid}, nil
	}
	a, err := dropTo()
	if err != nil {
		return nil, err
	}
	if err := a.chownAll(p.home()); err != nil {
		return nil, folderFault(err, p.home())
	}
	return a, nil
}

func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
