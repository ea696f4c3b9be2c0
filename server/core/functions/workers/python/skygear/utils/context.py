"""Who calls."""
import contextlib
import threading


class _Contexts(threading.local):
    def __init__(self):
        self.stack = [{}]


_contexts = _Contexts()


def push_context(context):
    _contexts.stack.append(context)


def pop_context():
    if len(_contexts.stack) == 1:
        raise Exception("there is no context to leave")
    return _contexts.stack.pop()


def current_context():
    return _contexts.stack[-1]


def clear_contexts():
    _contexts.stack = [{}]


def current_user_id():
    """The user who calls; None for nobody."""
    return current_context().get("user_id")


def current_request_id():
    return current_context().get("request_id")


@contextlib.contextmanager
def start_context(context):
    push_context(context)
    try:
        yield
    finally:
        pop_context()
