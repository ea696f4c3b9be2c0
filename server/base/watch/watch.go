// Package watch tells when files below folders change.
//
// Way in: Start. Folders that appear later are watched too; what editors and tools write beside the files,
// names that begin with a dot or end in "~", __pycache__ and node_modules, is not told.
package watch

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"crema/server/base/fault"
)

// Config says what to watch.
type Config struct {
	Folders []string      // one that does not exist is not watched
	Quiet   time.Duration // changes are told when there was none for this long; 0: 20 ms

	// Changed is told the files that changed, by their names below the folder, with slashes. One call at a time.
	Changed func(folder string, names []string)

	Log *slog.Logger // nil: the default logger
}

// Watcher watches until Stop.
type Watcher struct {
	c      Config
	events *fsnotify.Watcher
	roots  map[string]string // where a folder really is -> the folder
	done   sync.WaitGroup
}

// Start watches. Reason: watch.not_watched, when the system has no room for it.
func Start(c Config) (*Watcher, error) {
	if c.Quiet == 0 {
		c.Quiet = 20 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, notWatched(err)
	}
	w := &Watcher{c: c, events: events, roots: map[string]string{}}
	for _, folder := range c.Folders {
		root, err := filepath.EvalSymlinks(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			w.roots[root] = folder
			err = w.add(root, nil)
		}
		if err != nil {
			_ = events.Close()
			return nil, notWatched(err)
		}
	}
	w.done.Go(w.run)
	return w, nil
}

func notWatched(err error) error {
	return fault.Wrap(err, fault.NotConfigured, "watch.not_watched", "changes of files cannot be watched (%v)", err)
}

// Stop ends the watching. No call of Changed runs when it returns.
func (w *Watcher) Stop() {
	_ = w.events.Close() // it holds nothing but the watches
	w.done.Wait()
}

// add watches a folder and those in it, and notes the files that it finds.
func (w *Watcher) add(dir string, found map[string]bool) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone again
			return nil
		case err != nil:
			return err
		case path != dir && ignored(e.Name()) && e.IsDir():
			return fs.SkipDir
		case e.IsDir():
			return w.events.Add(path)
		case found != nil && !ignored(e.Name()):
			found[path] = true
		}
		return nil
	})
}

func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || name == "__pycache__" || name == "node_modules"
}

// run collects changes until there is a pause, and tells them.
func (w *Watcher) run() {
	changed, pause := map[string]bool{}, time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		select {
		case e, ok := <-w.events.Events:
			if !ok {
				return
			}
			if w.note(e, changed) {
				pause.Reset(w.c.Quiet)
			}
		case err, ok := <-w.events.Errors:
			if !ok {
				return
			}
			w.c.Log.Warn("changes of files may have been missed", "error", err)
		case <-pause.C:
			w.tell(changed)
			clear(changed)
		}
	}
}

// note says whether an event is a change that somebody wants to know.
func (w *Watcher) note(e fsnotify.Event, changed map[string]bool) bool {
	if ignored(filepath.Base(e.Name)) || e.Op == fsnotify.Chmod {
		return false
	}
	info, err := os.Stat(e.Name)
	if err == nil && info.IsDir() {
		if e.Has(fsnotify.Create) {
			if err := w.add(e.Name, changed); err != nil {
				w.c.Log.Warn("a new folder is not watched", "folder", e.Name, "error", err)
			}
		}
		return len(changed) > 0
	}
	changed[e.Name] = true
	return true
}

func (w *Watcher) tell(changed map[string]bool) {
	for _, root := range slices.Sorted(maps.Keys(w.roots)) {
		var names []string
		for path := range changed {
			if name, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(name) {
				names = append(names, filepath.ToSlash(name))
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			w.c.Changed(w.roots[root], names)
		}
	}
}
