"""A worker: a few threads, each with a socket of its own, that run calls one after the other."""
import json
import os
import sys
import threading

from skygear.options import options
from skygear.utils import logging

from . import frames, loader

current = threading.local()  # .lane: the lane whose call this thread runs


class Lane:
    def __init__(self, channel):
        self.channel = channel
        self.call = 0  # the id of the call that runs
        self.actions = 0

    def serve(self):
        """Run calls until the server has gone. Without one of its threads a worker is of no use: calls would wait."""
        try:
            self.run_calls()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            flush()
        finally:
            os._exit(1)

    def run_calls(self):
        current.lane = self
        from skygear.transmitter import dispatch
        while True:
            message = self.channel.read()
            if message is None:
                os._exit(0)  # the server has gone, or wants us gone
            kind, number, body = message
            if kind == frames.CALL:
                self.call, self.actions = number, 0
                try:
                    call = json.loads(body.decode("utf-8", "replace"))
                except (ValueError, RecursionError) as e:
                    outcome = frames.ERROR, unexpected("the arguments cannot be read as JSON: %s" % e)
                else:
                    outcome = answered(dispatch, call)
                self.reply(number, outcome)
                self.call = 0
            elif kind == frames.PING:
                self.channel.write(frames.PONG, number)

    def reply(self, number, outcome):
        kind, content = outcome
        if kind == frames.ERROR and content.get("out_of_memory"):
            self.channel.write(frames.RETIRE, 0)
        try:
            body = encode(content).encode()
        except (TypeError, ValueError, RecursionError) as e:
            if kind == frames.ERROR:  # of what its caller may make something, the code and the text can be written
                kind, body = failed(str(content["message"]), content["code"])
            else:
                kind, body = failed("the result cannot be written as JSON: %s" % e)
        if len(body) > frames.MAX:
            kind, body = failed("the result has %d bytes, at most %d are possible" % (len(body), frames.MAX))
        flush()
        self.channel.write(kind, number, body)

    def action(self, payload):
        """Ask the server for an action of its wire, on behalf of the call that this lane runs."""
        self.actions += 1
        number = self.call << frames.ACTION_BITS | self.actions
        self.channel.write(frames.ACTION, number, payload)
        while True:
            message = self.channel.read()
            if message is None:
                os._exit(0)
            if message[0] == frames.ANSWER and message[1] == number:
                return message[2]
            if message[0] == frames.PING:
                self.channel.write(frames.PONG, message[1])


encode = json.JSONEncoder(allow_nan=False).encode


def unexpected(message, code=10000):
    return {"code": code, "message": message, "info": {}, "trace": "", "unexpected": code == 10000}


def failed(message, code=10000):
    return frames.ERROR, encode(unexpected(message, code)).encode()


def answered(dispatch, call):
    """The answer of a call, also when its error is of a kind that fails again when it is looked at."""
    try:
        return dispatch(call)
    except BaseException as e:
        return frames.ERROR, unexpected("the error cannot be told (%s)" % type(e).__name__)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


class Stamped:
    """A text stream that tells the server which call a line belongs to."""

    def __init__(self, stream):
        self.stream = stream
        self.part = threading.local()

    def write(self, text):
        count = len(text)
        text = getattr(self.part, "text", "") + text
        lines = text.split("\n")
        self.part.text = lines.pop()
        lane = getattr(current, "lane", None)
        stamp = "\x01%d\x02" % lane.call if lane is not None and lane.call else ""
        if lines:
            self.stream.write("".join(stamp + line + "\n" for line in lines))
        return count

    def flush(self):
        if getattr(self.part, "text", ""):
            self.write("\n")
        self.stream.flush()

    def __getattr__(self, name):
        return getattr(self.stream, name)


def run(channels):
    sys.stdout, sys.stderr = Stamped(sys.stdout), Stamped(sys.stderr)
    logging.setup(options)
    lanes = [Lane(channel) for channel in channels]
    current.lane = lanes[0]
    message = lanes[0].channel.read()
    if message is None:
        return
    registered = loader.load(json.loads(message[2]))
    flush()
    lanes[0].channel.write(frames.REGISTER, 0, json.dumps(registered).encode())
    for lane in lanes[1:]:
        threading.Thread(target=lane.serve, name="calls", daemon=True).start()
    lanes[0].serve()
