package pg

import (
	"context"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxStatements bounds what one server keeps prepared on every connection. Queries have many shapes.
const maxStatements = 512

// statements keeps prepared statements by their text. When it is full, the one that was not used for
// the longest time is closed as soon as nobody runs it.
type statements struct {
	pool   *sqlx.DB
	mu     sync.Mutex
	clock  uint64
	byText map[string]*statement
}

type statement struct {
	stmt    *sqlx.Stmt
	users   int
	used    uint64
	evicted bool
}

func newStatements(pool *sqlx.DB) *statements {
	return &statements{pool: pool, byText: map[string]*statement{}}
}

// use runs fn with q prepared and turns its error into a fault. A statement that was prepared for columns
// of other types is refused by PostgreSQL before it does anything; it is prepared again.
func (c *statements) use(ctx context.Context, q string, fn func(*sqlx.Stmt) error) error {
	err := c.once(ctx, q, fn)
	if isOldPlan(err) {
		err = c.once(ctx, q, fn)
	}
	return Fault(err)
}

func (c *statements) once(ctx context.Context, q string, fn func(*sqlx.Stmt) error) error {
	s, err := c.acquire(ctx, q)
	if err != nil {
		return err
	}
	defer c.release(s)
	if err = fn(s.stmt); isOldPlan(err) {
		c.drop(q, s)
	}
	return err
}

// drop forgets s, unless somebody else has replaced it already.
func (c *statements) drop(q string, s *statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.evicted = true // whoever releases it last closes it
	if c.byText[q] == s {
		delete(c.byText, q)
	}
}

func (c *statements) acquire(ctx context.Context, q string) (*statement, error) {
	if s := c.hit(q); s != nil {
		return s, nil
	}
	stmt, err := c.pool.PreparexContext(ctx, q)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byText[q]
	if s != nil { // somebody else was quicker
		_ = stmt.Close()
	} else {
		c.evict()
		s = &statement{stmt: stmt}
		c.byText[q] = s
	}
	return c.touch(s), nil
}

func (c *statements) hit(q string) *statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byText[q]
	if s == nil {
		return nil
	}
	return c.touch(s)
}

func (c *statements) touch(s *statement) *statement {
	c.clock++
	s.used = c.clock
	s.users++
	return s
}

func (c *statements) release(s *statement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users--
	if s.evicted && s.users == 0 {
		_ = s.stmt.Close()
	}
}

func (c *statements) evict() {
	if len(c.byText) < maxStatements {
		return
	}
	var text string
	var oldest *statement
	for q, s := range c.byText {
		if oldest == nil || s.used < oldest.used {
			text, oldest = q, s
		}
	}
	delete(c.byText, text)
	oldest.evicted = true
	if oldest.users == 0 {
		_ = oldest.stmt.Close()
	}
}
