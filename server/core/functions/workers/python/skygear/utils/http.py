"""Requests and responses of HTTP handlers: werkzeug's where it is installed, else small ones with its names."""
import base64
import io
import json
import shutil
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

    def get(self, name, default=None, type=None):
        values = self.getlist(name)
        try:
            return default if not values else values[0] if type is None else type(values[0])
        except ValueError:
            return default

    def __getitem__(self, name):
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return values[0]

    def __contains__(self, name):
        return bool(self.getlist(name))

    def __setitem__(self, name, value):
        self.remove(name)
        self.add(name, value)

    def __delitem__(self, name):
        self.pairs = [(k, v) for k, v in self.pairs if k.lower() != name.lower()]

    set, remove, get_all = __setitem__, __delitem__, getlist

    def setdefault(self, name, value):
        if name not in self:
            self.add(name, value)
        return self[name]

    def add(self, name, value):
        self.pairs.append((name, str(value)))

    def extend(self, pairs):
        for name, value in pairs.items() if hasattr(pairs, "items") else pairs:
            self.add(name, value)

    def items(self):
        return list(self.pairs)

    def keys(self):
        return [k for k, _ in self.pairs]

    def values(self):
        return [v for _, v in self.pairs]


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


class File:
    """A file of a form."""

    def __init__(self, name, filename, content_type, content):
        self.name, self.filename, self.content_type = name, filename, content_type
        self.mimetype = content_type.split(";")[0]
        self.stream = io.BytesIO(content)
        self.read, self.seek = self.stream.read, self.stream.seek

    def save(self, to):
        if hasattr(to, "write"):
            shutil.copyfileobj(self.stream, to)
        else:
            with open(to, "wb") as f:
                shutil.copyfileobj(self.stream, f)


def parts(content_type, body):
    """The fields and the files of a form of several parts."""
    import email.parser
    import email.policy

    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    fields, files = [], []
    for part in email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body).iter_parts():
        name, filename = part.get_param("name", header="content-disposition"), part.get_filename()
        content = part.get_payload(decode=True) or b""
        if filename is not None:
            files.append((name, File(name, filename, part.get_content_type(), content)))
        elif name is not None:
            fields.append((name, content.decode("utf-8", "replace")))
    return fields, files


def cookie_pairs(text):
    if not text:
        return []
    from http.cookies import SimpleCookie

    decode, pairs = SimpleCookie().value_decode, (p.partition("=") for p in text.split(";"))
    return [(name.strip(), decode(value.strip())[0]) for name, equals, value in pairs if equals]


class PlainRequest:
    """A request with werkzeug's names for its parts."""

    def __init__(self, method, path, query, headers, body):
        self.method, self.path = method, path
        self.query_string = query.encode("utf-8")
        self.headers = headers
        self.data = body
        self.args = Values(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.cookies = Values(cookie_pairs("; ".join(headers.getlist("Cookie"))))

    scheme = property(lambda self: self.headers.get("X-Forwarded-Proto", "http"))
    is_secure = property(lambda self: self.scheme == "https")
    referrer = property(lambda self: self.headers.get("Referer"))
    user_agent = property(lambda self: self.headers.get("User-Agent", ""))
    content_length = property(lambda self: len(self.data))
    host_url = property(lambda self: self.scheme + "://" + self.host + "/")
    url_root = host_url
    base_url = property(lambda self: self.scheme + "://" + self.host + self.path)
    content_type = property(lambda self: self.headers.get("Content-Type", ""))
    mimetype = property(lambda self: self.content_type.split(";")[0].strip().lower())
    host = property(lambda self: self.headers.get("Host", "localhost"))
    url = property(lambda self: self.scheme + "://" + self.host + self.full_path.rstrip("?"))
    full_path = property(lambda self: self.path + "?" + self.query_string.decode("utf-8"))
    stream = property(lambda self: io.BytesIO(self.data))
    is_json = property(lambda self: self.mimetype == "application/json" or self.mimetype.endswith("+json"))

    @property
    def form(self):
        if self.mimetype == "multipart/form-data":
            return Values(parts(self.content_type, self.data)[0])
        if self.mimetype != "application/x-www-form-urlencoded":
            return Values([])
        return Values(urllib.parse.parse_qsl(self.data.decode("utf-8"), keep_blank_values=True))

    @property
    def files(self):
        return Values(parts(self.content_type, self.data)[1] if self.mimetype == "multipart/form-data" else [])

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

    @property
    def status(self):
        return "%d" % self.status_code

    @status.setter
    def status(self, value):
        self.status_code = int(str(value).split()[0])

    content_type = property(lambda self: self.headers.get("Content-Type"), lambda self, value: self.headers.set("Content-Type", value))
    mimetype = property(lambda self: (self.content_type or "").split(";")[0].strip().lower(), lambda self, value: self.headers.set("Content-Type", value))
    location = property(lambda self: self.headers.get("Location"), lambda self, value: self.headers.set("Location", value))

    def set_cookie(self, key, value="", max_age=None, expires=None, path="/", domain=None, secure=False, httponly=False, samesite=None):
        from email.utils import formatdate
        from http.cookies import SimpleCookie

        words = [key + "=" + (SimpleCookie().value_encode(value)[1] if value else "")]
        if expires is not None and not isinstance(expires, str):
            expires = formatdate(getattr(expires, "timestamp", lambda: expires)(), usegmt=True)
        if max_age is not None:
            max_age = int(getattr(max_age, "total_seconds", lambda: max_age)())
        for name, given in (("Domain", domain), ("Expires", expires), ("Max-Age", max_age), ("Path", path), ("SameSite", samesite)):
            if given is not None:
                words.append("%s=%s" % (name, given))
        words += [name for name, given in (("Secure", secure), ("HttpOnly", httponly)) if given]
        self.headers.add("Set-Cookie", "; ".join(words))

    def delete_cookie(self, key, path="/", domain=None, **attributes):
        self.set_cookie(key, max_age=0, expires=0, path=path, domain=domain, **attributes)


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
