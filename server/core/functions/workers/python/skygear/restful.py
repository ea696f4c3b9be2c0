"""Classes that answer HTTP requests about resources."""
import json

from .container import SkygearContainer
from .error import BadRequest, SkygearException, UnexpectedError


class RestfulRequest:
    """The HTTP request of a resource, with its payload."""

    def __init__(self, http_request):
        self.http_request = http_request

    def __getattr__(self, name):
        return getattr(self.http_request, name)

    @property
    def payload(self):
        text = self.http_request.get_data(as_text=True)
        try:
            return json.loads(text) if text else {}
        except ValueError:
            raise SkygearException("the body is no JSON", BadRequest) from None


class RestfulResource:
    """One method for each thing that can be done: index, create, get, update, delete. Those that a class has are its own."""

    _ROUTES = (("PUT", True, "update"), ("GET", True, "get"), ("DELETE", True, "delete"), ("POST", False, "create"), ("GET", False, "index"))

    @classmethod
    def get_allowed_methods(cls):
        return sorted({method for method, _, name in cls._ROUTES if callable(getattr(cls, name, None))})

    def get_payload(self):
        return self.request.payload

    def handle_request(self, base_name, http_request):
        self.request = RestfulRequest(http_request)
        path = http_request.path
        if not path.startswith(base_name):
            raise SkygearException("%s is not below %s" % (path, base_name), BadRequest)
        rest = path[len(base_name):]
        resource_id = (rest[1:] if rest.startswith("/") else rest).split("/")[0]
        for method, one, name in self._ROUTES:
            func = getattr(self, name, None)
            if method == http_request.method and one == bool(resource_id) and callable(func):
                return func(resource_id) if one else func()
        raise SkygearException("%s %s is not possible" % (http_request.method, path), BadRequest)


class RestfulRecord(RestfulResource):
    """The records of record_type as resources, with the rights of the caller's token."""

    record_type = None
    database_id = "_public"

    @property
    def container(self):
        return SkygearContainer(access_token=self._access_token())

    def _access_token(self):
        token = self.request.headers.get("X-Skygear-Access-Token")
        if token:
            return token
        try:
            return json.loads(self.request.get_data(as_text=True)).get("access_token")
        except (ValueError, AttributeError):
            return None

    def _send_multi(self, action, **params):
        answer = self.container.send_action(action, params)
        if "error" in answer:
            raise SkygearException.from_dict(answer["error"])
        if not isinstance(answer.get("result"), list):
            raise SkygearException("the answer has no result", UnexpectedError)
        return answer

    def _send_single(self, action, **params):
        results = self._send_multi(action, **params)["result"]
        if not results:
            raise SkygearException("the answer has no result", UnexpectedError)
        if results[0].get("_type") == "error":
            raise SkygearException.from_dict(results[0])
        return results[0]

    def _record_id(self, resource_id):
        return "%s/%s" % (self.record_type, resource_id)

    def predicate(self):
        """Which records index gives; None for all."""
        return None

    def query_options(self):
        """More parameters of record:query for index."""
        return {}

    def index(self):
        params = dict(self.query_options() or {})
        predicate = self.predicate()
        if predicate is not None:
            params["predicate"] = predicate
        return self._send_multi("record:query", **dict(params, database_id=self.database_id, record_type=self.record_type))

    def _save(self, record):
        return self._send_single("record:save", database_id=self.database_id, records=[record])

    def create(self):
        record = self.get_payload()
        if not str(record.get("_id", "")).startswith(self.record_type + "/"):
            import uuid

            record["_id"] = self._record_id(uuid.uuid4())
        return self._save(record)

    def update(self, resource_id):
        return self._save(dict(self.get_payload(), _id=self._record_id(resource_id)))

    def get(self, resource_id):
        return self._send_single("record:fetch", database_id=self.database_id, ids=[self._record_id(resource_id)])

    def delete(self, resource_id):
        return self._send_single("record:delete", database_id=self.database_id, ids=[self._record_id(resource_id)])
