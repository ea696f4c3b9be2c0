"""Sends a few messages over a WebSocket (RFC 6455) and closes it."""
import base64
import os
import socket
import ssl
import struct
import urllib.parse


def send(url, headers, messages, timeout=10):
    parts = urllib.parse.urlparse(url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname, parts.port or (443 if secure else 80)
    with socket.create_connection((host, port), timeout=timeout) as connection:
        if secure:
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        _open(connection, parts, host, port, headers)
        connection.sendall(b"".join(_frame(1, m.encode("utf-8")) for m in messages) + _frame(8, struct.pack(">H", 1000)))
        _await_close(connection)


def _open(connection, parts, host, port, headers):
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    lines = [
        "GET %s HTTP/1.1" % path, "Host: %s:%d" % (host, port), "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode("ascii"), "Sec-WebSocket-Version: 13",
    ]
    lines += ["%s: %s" % item for item in headers.items()]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece or len(answer) > 65536:
            raise OSError("the server does not answer as a WebSocket")
        answer += piece
    status = answer.split(b" ", 2)[1:2]
    if status != [b"101"]:
        raise OSError("the server refuses the WebSocket: %s" % answer.split(b"\r\n")[0].decode("latin-1"))


def _frame(opcode, payload):
    mask = os.urandom(4)
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        length = bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    else:
        length = bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


def _await_close(connection):
    try:
        while connection.recv(4096):
            pass
    except OSError:
        pass  # what was sent has been sent
