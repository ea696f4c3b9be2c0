"""Runs what the server calls."""
import base64
import json
import logging
import traceback

from ..encoding import deserialize_or_none, deserialize_value, serialize_record, serialize_value
from ..error import BadRequest, SkygearException, UndefinedOperation
from ..registry import get_registry
from ..utils.context import pop_context, push_context

log = logging.getLogger("skygear")

RESULT, ERROR = 6, 7  # types of frames


def dispatch(call):
    """Run one call and return the type and the content of its answer."""
    try:
        push_context(call.get("context") or {})
        try:
            return RESULT, _KINDS[call["kind"]](call["name"], call.get("param"))
        finally:
            pop_context()
    except BaseException as e:  # sys.exit() ends the call, not the worker
        return _failure(e)


def _failure(e):
    handle = get_registry().get_exception_handler(type(e))
    if handle is not None:
        try:
            handled = handle(e)
        except Exception as inner:
            handled = inner
        if isinstance(handled, Exception):
            e = handled
        elif isinstance(handled, dict) and isinstance(handled.get("error"), dict):
            e = SkygearException.from_dict(handled["error"])
        elif handled is not None:  # the whole answer, or just the result
            return RESULT, handled["result"] if isinstance(handled, dict) and set(handled) == {"result"} else handled
    if isinstance(e, SkygearException):
        try:
            info = serialize_value(e.info) if isinstance(e.info, dict) else {"info": serialize_value(e.info)}
        except Exception:  # it goes in circles, say
            info = {}
        return ERROR, {"code": e.code, "message": str(e.message), "info": info, "trace": "", "unexpected": False}
    trace = "".join(traceback.format_exception(type(e), e, e.__traceback__))
    log.error("%s", trace.rstrip())
    return ERROR, {"code": 10000, "message": str(e) or type(e).__name__, "info": {}, "trace": trace, "unexpected": True,
                   "out_of_memory": isinstance(e, MemoryError)}


def _find(kind, name):
    try:
        return get_registry().get_func(kind, name)
    except KeyError:
        raise SkygearException("there is no %s %s" % (kind, name), UndefinedOperation) from None


def run_op(name, param):
    func, args = _find("op", name), (param or {}).get("args", {})
    if isinstance(args, dict):
        return serialize_value(func(**deserialize_value(args)))
    if isinstance(args, list):
        return serialize_value(func(*deserialize_value(args)))
    raise ValueError("args must be an object or an array, not %s" % type(args).__name__)


def run_hook(name, param):
    from ..utils import db

    func = _find("hook", name)
    record = deserialize_or_none(param.get("record"))
    original = deserialize_or_none(param.get("original"))
    with db.on_demand() as conn:
        returned = func(record, original, conn)
    return serialize_record(record if returned is None else returned)


def run_timer(name, param):
    return serialize_value(_find("timer", name)())


def run_event(name, param):
    for func in get_registry().func_map["event"].get(name, []):
        func(**(param or {}))


def tell(name, param):
    """Tell this process something. What fails is logged."""
    try:
        run_event(name, param)
    except Exception as e:
        log.exception("the event %s failed: %s", name, e)


def run_provider(name, param):
    try:
        provider = get_registry().get_provider(name)
    except KeyError:
        raise SkygearException("there is no provider %s" % name, UndefinedOperation) from None
    return provider.handle_action(param["action"], param)


def run_handler(name, param):
    from ..utils import http

    func = get_registry().get_handler(name, param["method"])
    if func is None:
        raise SkygearException("there is no handler %s for %s" % (name, param["method"]), UndefinedOperation)
    answer = func(http.request(param))
    if isinstance(answer, str):
        status, headers, body = 200, {"Content-Type": ["text/plain; charset=utf-8"]}, answer.encode("utf-8")
    elif http.is_response(answer):
        headers = {}
        for key, value in answer.headers:
            headers.setdefault(key, []).append(value)
        status, body = answer.status_code, answer.get_data()
    else:
        status, headers, body = 200, {"Content-Type": ["application/json"]}, json.dumps(answer).encode("utf-8")
    return {"status": status, "header": headers, "body": base64.b64encode(body).decode("ascii")}


def run_unknown(name, param):
    raise SkygearException("this kind of call is not known", BadRequest)


_KINDS = {
    "op": run_op, "hook": run_hook, "timer": run_timer, "event": run_event, "provider": run_provider, "handler": run_handler,
}
