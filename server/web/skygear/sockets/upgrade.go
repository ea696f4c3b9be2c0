package sockets

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// bufferSize is that of the two buffers of a socket. Most messages fit; larger ones take one more
// system call. The server's own have 4 KiB, which 10,000 idle sockets would hold for nothing.
const bufferSize = 1 << 10

// upgrade is the ResponseWriter that the websocket library gets. It lets the switch of protocols through
// and keeps back what the library says when it refuses, which the door says in the form of the wire.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn
}

// WriteHeader implements http.ResponseWriter.
func (u *upgrade) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (u *upgrade) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker with small buffers. What the client has sent already is in the one for
// reading, where the library looks for it.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = conn
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered can be had
	in := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), conn), max(bufferSize, len(early)))
	_, _ = in.Peek(len(early))
	return conn, bufio.NewReadWriter(in, bufio.NewWriterSize(conn, bufferSize)), nil
}
