package proc

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is the user of the operating system that a child runs as.
type Account struct {
	Name     string
	uid, gid uint32
}

// Unprivileged returns the account for code that is not ours: nobody when we are root, nil (as we do)
// otherwise and where there is no such user.
func Unprivileged() *Account {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil
	}
	return &Account{Name: u.Username, uid: uint32(uid), gid: uint32(gid)}
}

// Installer returns the account for programs that install what others have written, beside Unprivileged: neither can look
// into the other's processes or change its files. It is a number below nobody's that is nobody's either, nil where
// Unprivileged is.
func Installer() *Account {
	nobody := Unprivileged()
	if nobody == nil {
		return nil
	}
	for id := nobody.uid - 1; id+numbers > nobody.uid; id-- {
		text := strconv.FormatUint(uint64(id), 10)
		_, named := user.LookupId(text)
		_, group := user.LookupGroupId(text)
		if named != nil && group != nil {
			return &Account{Name: "installer", uid: id, gid: id}
		}
	}
	return nobody
}

// numbers is how many below nobody's are tried.
const numbers = 32

// credential returns nil for a nil account: the child then runs as we do.
func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// Own gives a folder to the account. It does nothing for a nil account.
func (a *Account) Own(dir string) error {
	if a == nil {
		return nil
	}
	return os.Chown(dir, int(a.uid), int(a.gid))
}

// Reachable says whether any user of the machine has these rights to a path and may go there.
func Reachable(path string, want fs.FileMode) bool {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	for ; err == nil; want = 0o001 {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&want != want {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
		path = filepath.Dir(path)
	}
	return false
}
