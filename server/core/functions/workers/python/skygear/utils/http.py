"""Requests and responses of HTTP handlers: werkzeug's where it is installed, else small ones with its names."""
import base64
import io
import json
import urllib.parse

try:
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request as _Request
    from werkzeug.wrappers import Response as _Response
except ImportError:
    EnvironBuilder = None


class Headers:
    """Headers with names in any case; some come several times."""

    def __init__(self, pairs=()):
        self.pairs = [(k, str(v)) for k, v in (pairs.items() if hasattr(pairs, "items") else pairs)]

    def __iter__(self):
        return iter(self.pairs)

    def __len__(self):
        return len(self.pairs)

    def getlist(self, name):
        return [v for k, v in self.pairs if k.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.getlist(name)), default)

    def __getitem__(self, name):
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return values[0]

    def __contains__(self, name):
        return bool(self.getlist(name))

    def __setitem__(self, name, value):
        self.pairs = [(k, v) for k, v in self.pairs if k.lower() != name.lower()] + [(name, str(value))]

    def add(self, name, value):
        self.pairs.append((name, str(value)))

    def items(self):
        return list(self.pairs)


class Values(dict):
    """Parameters: the first value of each name, and all with getlist."""

    def __init__(self, pairs):
        self.lists = {}
        for k, v in pairs:
            self.lists.setdefault(k, []).append(v)
        super().__init__((k, v[0]) for k, v in self.lists.items())

    def get(self, name, default=None, type=None):
        if name not in self:
            return default
        try:
            return self[name] if type is None else type(self[name])
        except ValueError:
            return default

    def getlist(self, name):
        return list(self.lists.get(name, []))


class PlainRequest:
    """A request with werkzeug's names for its parts."""

    def __init__(self, method, path, query, headers, body):
        self.method, self.path = method, path
        self.query_string = query.encode("utf-8")
        self.headers = headers
        self.data = body
        self.args = Values(urllib.parse.parse_qsl(query, keep_blank_values=True))

    content_type = property(lambda self: self.headers.get("Content-Type", ""))
    mimetype = property(lambda self: self.content_type.split(";")[0].strip().lower())
    host = property(lambda self: self.headers.get("Host", "localhost"))
    url = property(lambda self: "http://" + self.host + self.full_path.rstrip("?"))
    full_path = property(lambda self: self.path + "?" + self.query_string.decode("utf-8"))
    stream = property(lambda self: io.BytesIO(self.data))
    is_json = property(lambda self: self.mimetype == "application/json" or self.mimetype.endswith("+json"))

    @property
    def form(self):
        if self.mimetype != "application/x-www-form-urlencoded":
            return Values([])
        return Values(urllib.parse.parse_qsl(self.data.decode("utf-8"), keep_blank_values=True))

    @property
    def values(self):
        return Values([(k, v) for k, all in self.args.lists.items() for v in all] + [(k, v) for k, all in self.form.lists.items() for v in all])

    @property
    def json(self):
        return self.get_json()

    def get_json(self, force=False, silent=False):
        try:
            return json.loads(self.data) if force or self.is_json else None
        except ValueError:
            if silent:
                return None
            raise

    def get_data(self, as_text=False):
        return self.data.decode("utf-8") if as_text else self.data


class PlainResponse:
    """A response with werkzeug's names for its parts."""

    def __init__(self, response=None, status=None, headers=None, mimetype=None, content_type=None):
        if isinstance(response, str):
            response = response.encode("utf-8")
        elif response is not None and not isinstance(response, (bytes, bytearray)):
            response = b"".join(p.encode("utf-8") if isinstance(p, str) else p for p in response)
        self.data = bytes(response or b"")
        self.status_code = int(str(status).split()[0]) if status is not None else 200
        self.headers = Headers(headers or ())
        if content_type is None and "Content-Type" not in self.headers:
            content_type = (mimetype or "text/plain")
            if content_type.startswith("text/") and "charset" not in content_type:
                content_type += "; charset=utf-8"
        if content_type is not None:
            self.headers["Content-Type"] = content_type

    def get_data(self, as_text=False):
        return self.data.decode("utf-8") if as_text else self.data

    def set_data(self, value):
        self.data = value.encode("utf-8") if isinstance(value, str) else bytes(value)


Response = PlainResponse if EnvironBuilder is None else _Response


def is_response(value):
    return isinstance(value, Response) or all(hasattr(value, name) for name in ("headers", "status_code", "get_data"))


def request(param):
    """The request that the server describes."""
    headers = [(k, v) for k, all in (param.get("header") or {}).items() for v in all]
    body, query = base64.b64decode(param.get("body") or ""), param.get("query_string") or ""
    if EnvironBuilder is None:
        return PlainRequest(param["method"], param["path"], query, Headers(headers), body)
    builder = EnvironBuilder(method=param["method"], path=param["path"], query_string=query, headers=headers, data=body)
    return _Request(builder.get_environ(), populate_request=False, shallow=False)
