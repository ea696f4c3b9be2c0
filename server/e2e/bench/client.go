package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// request is the text of one HTTP request with places that are different in every request.
type request struct {
	text  []byte
	marks []int              // where the places begin
	width int                // of a place
	fill  func(place []byte) // writes one
}

// newRequest writes a request. Every occurrence of mark in the body is a place for fill.
func newRequest(method, path, headers, body, mark string, fill func([]byte)) request {
	head := method + " " + path + " HTTP/1.1\r\nHost: bench\r\n" + headers
	if body != "" {
		head += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	r := request{text: []byte(head + "\r\n" + body), fill: fill, width: len(mark)}
	for at := len(head); mark != ""; at += len(mark) {
		i := bytes.Index(r.text[at:], []byte(mark))
		if i < 0 {
			break
		}
		at += i
		r.marks = append(r.marks, at)
	}
	return r
}

// own returns a copy that one connection may write into.
func (r request) own() request {
	r.text = bytes.Clone(r.text)
	return r
}

func (r request) next() []byte {
	for _, at := range r.marks {
		r.fill(r.text[at : at+r.width])
	}
	return r.text
}

// keyMark stands for the key of a record; randomKey writes one as the old clients made them.
const keyMark = "00000000-0000-4000-8000-000000000000"

func randomKey(place []byte) {
	const digits = "0123456789abcdef"
	for i := 0; i < len(place); {
		n := rand.Uint64()
		for j := 0; j < 16 && i < len(place); i++ {
			if keyMark[i] == '0' {
				place[i] = digits[n&15]
				n >>= 4
				j++
			}
		}
	}
}

// client is one keep-alive connection. It allocates nothing per request, so that what it costs hides
// little of what the server costs.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends a request and copies the body of the answer to w. A status other than 200 is an error.
func (c *client) do(text []byte, w io.Writer) error {
	if _, err := c.conn.Write(text); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		status := string(bytes.TrimSpace(line))
		rest, _ := c.in.Peek(c.in.Buffered())
		return fmt.Errorf("%s: %s", status, rest)
	}
	length, err := c.header()
	switch {
	case err != nil:
		return err
	case length >= 0:
		return c.copy(w, length)
	}
	return c.chunks(w)
}

// header reads to the end of the header and returns the length of the body, -1 when it is chunked.
func (c *client) header() (int, error) {
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		if v, ok := after(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, err
			}
		} else if _, ok := after(line, "Transfer-Encoding: "); ok {
			length = -1
		}
	}
}

// after cuts name off a header line, in the spelling that net/http writes.
func after(line []byte, name string) ([]byte, bool) {
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	return line[len(name):], true
}

func (c *client) copy(w io.Writer, n int) error {
	if w == nil {
		_, err := c.in.Discard(n)
		return err
	}
	_, err := io.CopyN(w, c.in, int64(n))
	return err
}

func (c *client) chunks(w io.Writer) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if err := c.copy(w, int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(2); err != nil || n == 0 {
			return err
		}
	}
}

// ask sends one request on a connection of its own and returns the answer's body.
func ask(addr string, r request) (string, error) {
	c, err := dial(addr)
	if err != nil {
		return "", err
	}
	defer c.conn.Close() //nolint:errcheck // nothing is lost
	var b strings.Builder
	err = c.do(r.own().next(), &b)
	return b.String(), err
}
