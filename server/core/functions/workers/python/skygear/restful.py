"""Classes that answer HTTP requests about resources."""
import json

from .container import SkygearContainer
from .error import ResourceNotFound, SkygearException
from .options import options
from .predicate import Predicate
from .query import Query


class RestfulRequest:
    """What a method of a resource gets: the HTTP request with its payload."""

    def __init__(self, http_request):
        self.http_request = http_request
        body = http_request.get_data(as_text=True)
        self.payload = json.loads(body) if body else {}


class RestfulResource:
    """One method for each thing that can be done: index, create, get, update, delete."""

    @classmethod
    def get_allowed_methods(cls):
        return ["GET", "POST", "PUT", "DELETE"]

    def handle_request(self, base_name, http_request):
        path = http_request.path
        rest = path[len(base_name):].strip("/") if path.startswith(base_name) else ""
        self.request = RestfulRequest(http_request)
        method = http_request.method
        if not rest:
            if method == "GET":
                return self.index()
            if method == "POST":
                return self.create()
        elif method == "GET":
            return self.get(rest)
        elif method == "PUT":
            return self.update(rest)
        elif method == "DELETE":
            return self.delete(rest)
        raise SkygearException("%s %s is not possible" % (method, path), ResourceNotFound)

    def index(self):
        raise NotImplementedError()

    def create(self):
        raise NotImplementedError()

    def get(self, resource_id):
        raise NotImplementedError()

    def update(self, resource_id):
        raise NotImplementedError()

    def delete(self, resource_id):
        raise NotImplementedError()


class RestfulRecord(RestfulResource):
    """The records of record_type as resources, with the rights of the caller's token."""

    record_type = None
    database_id = "_public"

    def _container(self):
        token = self.request.http_request.headers.get("X-Skygear-Access-Token") or self.request.payload.get("access_token")
        return SkygearContainer(api_key=options.apikey, access_token=token)

    def _send(self, action, **params):
        answer = self._container().send_action(action, dict(params, database_id=self.database_id))
        if "error" in answer:
            raise SkygearException.from_dict(answer["error"])
        return answer["result"]

    def _one(self, action, **params):
        result = self._send(action, **params)[0]
        if result.get("_type") == "error":
            raise SkygearException.from_dict(result)
        return result

    def _id(self, resource_id):
        return "%s/%s" % (self.record_type, resource_id)

    def index(self):
        query = Query(self.record_type, Predicate())
        return {"result": self._send("record:query", record_type=query.record_type, limit=query.limit)}

    def create(self):
        import uuid

        return self._one("record:save", records=[dict(self.request.payload, _id=self._id(uuid.uuid4()))])

    def get(self, resource_id):
        return self._one("record:fetch", ids=[self._id(resource_id)])

    def update(self, resource_id):
        return self._one("record:save", records=[dict(self.request.payload, _id=self._id(resource_id))])

    def delete(self, resource_id):
        return self._one("record:delete", ids=[self._id(resource_id)])
