"""What the functions of an app have declared."""
import logging

log = logging.getLogger(__name__)


class Registry:
    """Holds functions by kind and name. Use get_registry() for the one that is served."""

    def __init__(self):
        self.func_map = {"op": {}, "hook": {}, "timer": {}, "event": {}}
        self.param_map = {"op": [], "handler": [], "hook": [], "timer": [], "event": [], "provider": []}
        self.handler = {}
        self.providers = {}
        self.static_assets = {}
        self.exception_handlers = {}

    def copy(self):
        return {
            "func_map": {kind: dict(all) for kind, all in self.func_map.items()},
            "param_map": {kind: list(all) for kind, all in self.param_map.items()},
            "handler": {name: dict(all) for name, all in self.handler.items()},
            "providers": dict(self.providers),
            "static_assets": dict(self.static_assets),
            "exception_handlers": dict(self.exception_handlers),
        }

    def restore(self, copy):
        self.__dict__.update(copy)

    def register(self, kind, name, func, *args, **kwargs):
        getattr(self, "register_" + kind)(name, func, *args, **kwargs)

    def _declare(self, kind, declared, key="name"):
        kept = [d for d in self.param_map[kind] if d.get(key) != declared.get(key)]
        if len(kept) < len(self.param_map[kind]):
            log.warning("%s %r is declared again; the last one counts", kind, declared.get(key))
        self.param_map[kind] = kept + [declared]

    def register_op(self, name, func, *args, **kwargs):
        key = kwargs.get("key_required", kwargs.get("auth_required", False))
        self._declare("op", {"name": name, "key_required": bool(key), "user_required": bool(kwargs.get("user_required", False))})
        self.func_map["op"][name] = func

    def register_event(self, name, func, *args, **kwargs):
        functions = self.func_map["event"].get(name, [])
        if not functions:
            self._declare("event", {"name": name})
        self.func_map["event"][name] = functions + [func]

    def register_hook(self, name, func, *args, **kwargs):
        if not kwargs.get("type") or not kwargs.get("trigger"):
            raise ValueError("a hook needs a record type and a trigger")
        is_async = kwargs.get("async", kwargs.get("async_", False))
        self._declare("hook", {"name": name, "type": kwargs["type"], "trigger": kwargs["trigger"], "async": bool(is_async)})
        self.func_map["hook"][name] = func

    def register_timer(self, name, func, *args, **kwargs):
        self._declare("timer", {"name": name, "spec": kwargs.get("spec")})
        self.func_map["timer"][name] = func

    def register_handler(self, name, func, *args, **kwargs):
        methods = kwargs.get("method", ["GET", "POST", "PUT"])
        if isinstance(methods, str):
            methods = [methods]
        by_method = self.handler.setdefault(name, {})
        for method in methods:
            by_method[method] = func
        key, user = bool(kwargs.get("key_required", False)), bool(kwargs.get("user_required", False))
        others = [
            dict(d, methods=[m for m in d["methods"] if d["name"] != name or m not in methods]) for d in self.param_map["handler"]
        ]
        self.param_map["handler"] = [d for d in others if d["methods"]] + [{"name": name, "methods": list(methods), "key_required": key, "user_required": user}]

    def register_provider(self, provider_type, provider_id, provider, **kwargs):
        self._declare("provider", dict(kwargs, type=provider_type, id=provider_id), key="id")
        self.providers[provider_id] = provider

    def register_static_assets(self, prefix, func):
        self.static_assets[prefix] = func

    def get_static_assets(self, request_path):
        for prefix, loader in self.static_assets.items():
            if request_path.startswith(prefix):
                return loader(), request_path[len(prefix):]
        raise KeyError("no static assets at %r" % request_path)

    def register_exception_handler(self, klass, func):
        self.exception_handlers[klass] = func

    def get_exception_handler(self, klass):
        for base in klass.__mro__:
            if base in self.exception_handlers:
                return self.exception_handlers[base]
        return None

    def func_list(self):
        return self.param_map

    def get_func(self, kind, name):
        return self.func_map[kind][name]

    def get_event_funcs(self, name):
        return self.func_map["event"][name]

    def get_provider(self, name):
        return self.providers[name]

    def get_handler(self, name, method):
        return self.handler.get(name, {}).get(method)

    def static_folder(self, prefix):
        """What the server is told of files. It serves those of a folder itself; for others a handler stands in."""
        loader = self.static_assets[prefix]()
        prefix = prefix.strip("/")
        if loader is None:
            return []
        if getattr(loader, "dirpath", None):
            return [{"prefix": prefix, "dir": loader.dirpath}]
        self.register_handler("static/" + prefix + "/" if prefix else "static/", loader.respond_below(prefix), method="GET")
        return []

    def declared(self):
        """What the server is told of functions."""
        return dict(self.param_map)


_registry = Registry()


def get_registry():
    return _registry
