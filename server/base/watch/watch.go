// Package watch tells when files change: those below folders, and single ones.
//
// Way in: Start. What is not there yet is told when it appears, a folder that is put in the place of a watched one is watched too.
// What editors and tools write beside the files, names that begin with a dot or end in "~", __pycache__ and node_modules, is not
// told, and neither is what lies behind a link inside a folder.
package watch

import (
	"errors"
	"io/fs"
	"log/slog"
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
	Places []string      // folders and files
	Quiet  time.Duration // changes are told when there was none for this long; 0: 20 ms

	// Changed is told the files that changed, by their names below the folder, with slashes. "." is the place itself: the file, or
	// a folder that has come, gone or been replaced. One call at a time.
	Changed func(place string, names []string)

	Log *slog.Logger // nil: the default logger
}

// Watcher watches until Stop.
type Watcher struct {
	c      Config
	events *fsnotify.Watcher
	places []*place
	empty  map[string]bool // files that changed and have nothing in them yet
	done   sync.WaitGroup
}

// emptyQuiet is how long a file may be empty before that is told: who saves it may have begun only.
const emptyQuiet = 250 * time.Millisecond

// place is something to watch. Its parent is watched too, since a watch ends with what it watches.
type place struct {
	name string // as it was given
	path string // where it stands
	root string // where it really is, while it is a folder; else ""
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
	w := &Watcher{c: c, events: events, empty: map[string]bool{}}
	for _, name := range c.Places {
		if err := w.begin(name); err != nil {
			_ = events.Close()
			return nil, notWatched(err)
		}
	}
	w.done.Go(w.run)
	return w, nil
}

func (w *Watcher) begin(name string) error {
	path, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if err := w.events.Add(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p := &place{name: name, path: path}
	w.places = append(w.places, p)
	return w.enter(p, nil)
}

// enter watches what a place is now, and notes the files that it finds.
func (w *Watcher) enter(p *place, found map[string]bool) error {
	p.root = ""
	root, err := filepath.EvalSymlinks(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil // a file's folder is watched
	}
	p.root = root
	return w.add(root, found)
}

// again looks anew at a place that something was done to. What was there before may be elsewhere now.
func (w *Watcher) again(p *place, changed map[string]bool) {
	for _, path := range w.events.WatchList() {
		if p.root != "" && below(path, p.root) {
			_ = w.events.Remove(path) // it may be gone with what it watched
		}
	}
	changed[p.path] = true
	if err := w.enter(p, changed); err != nil {
		w.c.Log.Warn("a folder is not watched any more", "folder", p.name, "error", err)
	}
}

// below says whether a path is a folder or lies in it.
func below(path, folder string) bool {
	name, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(name)
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
			if !w.note(e, changed) {
				continue
			}
			if pause.Reset(w.c.Quiet); len(w.empty) > 0 {
				pause.Reset(max(w.c.Quiet, emptyQuiet))
			}
		case err, ok := <-w.events.Errors:
			if !ok {
				return
			}
			w.c.Log.Warn("so much has changed that some of it was missed; everything is looked at", "error", err)
			for _, p := range w.places {
				w.again(p, changed)
			}
			pause.Reset(w.c.Quiet)
		case <-pause.C:
			w.tell(changed)
			clear(changed)
			clear(w.empty)
		}
	}
}

// note says whether an event is a change that somebody wants to know.
func (w *Watcher) note(e fsnotify.Event, changed map[string]bool) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	inside := false
	for _, p := range w.places {
		if e.Name == p.path || e.Name == p.root {
			w.again(p, changed)
			return true
		}
		inside = inside || p.root != "" && below(e.Name, p.root)
	}
	if !inside || ignored(filepath.Base(e.Name)) { // beside a place
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
	if delete(w.empty, e.Name); err == nil && info.Size() == 0 {
		w.empty[e.Name] = true
	}
	return true
}

func (w *Watcher) tell(changed map[string]bool) {
	for _, p := range w.places {
		var names []string
		for path := range changed {
			switch {
			case path == p.path:
				names = append(names, ".")
			case p.root != "" && path != p.root && below(path, p.root):
				name, _ := filepath.Rel(p.root, path) // below could make it
				names = append(names, filepath.ToSlash(name))
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			w.c.Changed(p.name, names)
		}
	}
}
