package pubsub

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What servers tell each other is a row of batches. A batch is the text of some messages, cut into parts
// that fit into a notice of PostgreSQL:
//
//	part    = version " " node " " batch " " part " " parts "\n" text
//	message = hub " " bytes of name " " bytes of data "\n" name data
//
// version is 1; node names a run of a server; batches are counted from 1 for each node, parts from 1 for each
// batch; hub is the first letter of its name; name is the channel as JSON.

// maxPart is what a notice may carry, which is less than 8000 bytes.
const maxPart = 7900

// header begins a part.
type header struct {
	node  string
	batch uint64
	part  int
	parts int
}

const version = "1"

// nobody is the node of a batch that stands alone: it came with a transaction and is for all servers.
const nobody = "-"

func (h header) String() string {
	return fmt.Sprintf("%s %s %d %d %d\n", version, h.node, h.batch, h.part, h.parts)
}

// splitPart reads a part.
func splitPart(payload string) (h header, text string, ok bool) {
	head, text, found := strings.Cut(payload, "\n")
	f := strings.Split(head, " ")
	if !found || len(f) != 5 || f[0] != version || f[1] == "" {
		return h, "", false
	}
	h.node = f[1]
	var err [3]error
	h.batch, err[0] = strconv.ParseUint(f[2], 10, 64)
	h.part, err[1] = strconv.Atoi(f[3])
	h.parts, err[2] = strconv.Atoi(f[4])
	return h, text, err == [3]error{} && h.batch > 0 && h.part > 0 && h.part <= h.parts
}

// cut makes the parts of a batch.
func cut(node string, batch uint64, text string) []string {
	var pieces []string
	for {
		n := len(text)
		if n > maxPart {
			for n = maxPart; !utf8.RuneStart(text[n]); {
				n--
			}
		}
		pieces = append(pieces, text[:n])
		if text = text[n:]; text == "" {
			break
		}
	}
	for i, p := range pieces {
		pieces[i] = header{node, batch, i + 1, len(pieces)}.String() + p
	}
	return pieces
}

func (m message) appendTo(b []byte) []byte {
	b = append(b, m.hub[0], ' ')
	b = append(strconv.AppendInt(b, int64(len(m.name)), 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(m.data)), 10), '\n')
	return append(append(b, m.name...), m.data...)
}

// unpack reads the messages of a batch and gives them to each. It stops where it cannot read on, and says so.
func unpack(text string, each func(message)) bool {
	for text != "" {
		head, rest, _ := strings.Cut(text, "\n")
		f := strings.Split(head, " ")
		if len(f) != 3 {
			return false
		}
		name, err1 := strconv.Atoi(f[1])
		data, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || name < 0 || data < 0 || name > len(rest) || data > len(rest)-name {
			return false
		}
		var channel string
		if json.Unmarshal([]byte(rest[:name]), &channel) != nil {
			return false
		}
		if on, ok := hubOf(f[0]); ok { // a newer server may have others
			each(newMessage(on, channel, []byte(rest[:name]), []byte(rest[name:name+data])))
		}
		text = rest[name+data:]
	}
	return true
}

func hubOf(letter string) (Hub, bool) {
	for _, h := range []Hub{Public, Internal, Servers} {
		if letter == string(h[:1]) {
			return h, true
		}
	}
	return "", false
}
