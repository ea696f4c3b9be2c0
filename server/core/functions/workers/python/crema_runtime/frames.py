"""The messages between the server and this process. workers/frames.go has the same list."""
import struct

HELLO, READY, LOAD, REGISTER, CALL, RESULT, ERROR, ACTION, ANSWER, PING, PONG, FORK, FORKED, EXITED, REAP, RETIRE, END = range(1, 18)

ACTION_BITS = 24
MAX = 16 << 20
HEADER = struct.Struct(">IBBQ")


class Channel:
    """One socket. Only one thread reads it and writes to it."""

    def __init__(self, sock):
        self.sock = sock
        self.rest = b""

    def read(self):
        """Return type, id and body of the next message; None when the server has gone."""
        data = self.rest
        while len(data) < HEADER.size:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            data += piece
        length, kind, _, number = HEADER.unpack_from(data)
        end = HEADER.size + length
        if len(data) < end:
            pieces, have = [data], len(data)
            while have < end:
                piece = self.sock.recv(min(end - have, 1 << 20))
                if not piece:
                    return None
                pieces.append(piece)
                have += len(piece)
            data = b"".join(pieces)
        self.rest = data[end:]
        return kind, number, data[HEADER.size:end]

    def write(self, kind, number, body=b""):
        self.sock.sendall(HEADER.pack(len(body), kind, 0, number) + body)
