"""The decorators that declare functions."""
import datetime
from functools import wraps

from .registry import get_registry
from .utils.assets import DirectoryStaticAssetsLoader, StaticAssetsLoader

_registry = get_registry()


def _name(kwargs, func):
    return kwargs.pop("name", None) or func.__module__ + "." + func.__name__


def op(name, *args, **kwargs):
    """A lambda: arguments by name or by position, the result is the answer."""
    def declare(func):
        _registry.register_op(name, func, *args, **kwargs)
        return func
    return declare


def event(name, *args, **kwargs):
    """Runs at an event of the server's life, or when the schema has changed."""
    if name == "init":
        raise Exception("the event init is the server's own; use after-config")

    def declare(func):
        _registry.register_event(name, func, *args, **kwargs)
        return func
    return declare


def every(interval, name=None, *args, **kwargs):
    """Runs by the clock: cron with seconds, "@every 1m30s", seconds, or a timedelta."""
    if isinstance(interval, datetime.timedelta):
        interval = "@every %ss" % interval.total_seconds()
    elif isinstance(interval, int):
        interval = "@every %ss" % interval
    elif not isinstance(interval, str):
        raise Exception("the interval must be seconds, a timedelta or a text, not %s" % type(interval).__name__)

    def declare(func):
        _registry.register_timer(_name(dict(name=name), func), func, *args, spec=interval, **kwargs)
        return func
    return declare


def handler(name, *args, **kwargs):
    """Answers HTTP requests at the path."""
    def declare(func):
        _registry.register_handler(name, func, *args, **kwargs)
        return func
    return declare


def _hook(kwargs, with_original):
    def declare(func):
        def run(record, original_record, db):
            if with_original:
                func(record, original_record, db)
            else:
                func(record, db)
            return record  # as the function has changed it; what it returns does not count

        options = dict(kwargs)
        _registry.register_hook(_name(options, func), run, **options)
        return func
    return declare


def hook(trigger, *args, **kwargs):
    return _hook(dict(kwargs, trigger=trigger), True)


def before_save(type_, *args, **kwargs):
    return _hook(dict(kwargs, type=type_, trigger="beforeSave"), True)


def after_save(type_, *args, **kwargs):
    return _hook(dict(kwargs, type=type_, trigger="afterSave"), True)


def before_delete(type_, *args, **kwargs):
    return _hook(dict(kwargs, type=type_, trigger="beforeDelete"), False)


def after_delete(type_, *args, **kwargs):
    return _hook(dict(kwargs, type=type_, trigger="afterDelete"), False)


def provides(provider_type, provider_id, *args, **kwargs):
    """A class that knows identities of elsewhere."""
    def declare(klass):
        _registry.register_provider(provider_type, provider_id, klass(), *args, **kwargs)
        return klass
    return declare


def rest(name, *args, **kwargs):
    """A class that answers HTTP requests at the path and at all below it."""
    name = name.replace(":", "/").strip("/")

    def declare(klass):
        allowed = getattr(klass, "get_allowed_methods", None)
        options = dict(kwargs, method=allowed() if callable(allowed) else ["GET", "POST", "PUT", "DELETE"])

        def run(request):
            return klass().handle_request("/" + name, request)

        handler(name, *args, **options)(run)
        handler(name + "/", *args, **options)(run)
        return klass
    return declare


def static_assets(prefix, *args, **kwargs):
    """A folder of files to serve below /static/<prefix>; the function returns its absolute path."""
    def declare(func):
        @wraps(func)
        def run():
            loader = func()
            if loader and not isinstance(loader, StaticAssetsLoader):
                loader = DirectoryStaticAssetsLoader(loader)
            return loader or None

        _registry.register_static_assets(prefix.lstrip("/") if prefix else "", run)
        return run
    return declare


def exception_handler(klass):
    """Turns errors of a class into another error or into an answer; None keeps the error."""
    def declare(func):
        _registry.register_exception_handler(klass, func)
        return func
    return declare
