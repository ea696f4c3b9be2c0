"""Calls the server from functions."""
import datetime
import json

from .__version__ import __version__
from .database import Database
from .encoding import encode_date
from .error import SkygearException
from .options import options


class PayloadEncoder(json.JSONEncoder):
    """Writes dates as the texts that the wire has for them."""

    def default(self, obj):
        if isinstance(obj, datetime.datetime):
            return encode_date(obj)
        return super().default(obj)


class SkygearContainer:
    """Sends actions to the server, with a key, as a user or with a user's token."""

    endpoint = options.skygear_endpoint
    api_key = options.apikey
    access_token = None
    user_id = None
    app_name = options.appname
    transport = None

    def __init__(self, endpoint=None, api_key=None, access_token=None, user_id=None, transport=None):
        self.endpoint = endpoint or self.endpoint
        self.api_key = api_key or self.api_key
        self.user_id = user_id or self.user_id
        self.access_token = access_token
        self.transport = transport if transport is not None else SkygearContainer.transport
        self.public_database = Database(self, "_public")
        self.private_database = Database(self, "_private")

    def send_action(self, action_name, params, plugin_request=False, timeout=60):
        """Send an action and return the answer as it is, errors too."""
        payload = self._payload(action_name, params, plugin_request)
        if self.transport is not None:
            return self.transport.send_action(action_name, payload, self._request_url(action_name), timeout)
        body = json.dumps(payload, cls=PayloadEncoder).encode("utf-8")
        if self.endpoint.rstrip("/") == options.skygear_endpoint.rstrip("/"):
            answer = _through_the_server(body)
            if answer is not None:
                return answer
        return _over_http(self._request_url(action_name), body, timeout)

    def _request_url(self, action_name):
        return self.endpoint.rstrip("/") + "/" + action_name.replace(":", "/")

    def _payload(self, action_name, params, plugin_request):
        payload = dict(params) if isinstance(params, dict) else {}
        payload["action"] = action_name
        if self.access_token:
            payload["access_token"] = self.access_token
        if self.api_key:
            payload["api_key"] = self.api_key
        if self.user_id:
            payload["_user_id"] = self.user_id
        if plugin_request:
            payload["_from_plugin"] = True
        return payload

    @classmethod
    def set_default_app_name(cls, app_name):
        cls.app_name = app_name

    @classmethod
    def get_default_app_name(cls):
        return cls.app_name

    @classmethod
    def set_default_endpoint(cls, endpoint):
        cls.endpoint = endpoint

    @classmethod
    def set_default_apikey(cls, api_key):
        cls.api_key = api_key

    @classmethod
    def set_default_transport(cls, transport):
        cls.transport = transport


def _through_the_server(body):
    """The answer over the socket of the call that this thread runs; None when it runs none."""
    from crema_runtime.worker import current

    lane = getattr(current, "lane", None)
    if lane is None:
        return None
    return json.loads(lane.action(body))


def _over_http(url, body, timeout):
    import urllib.error  # slow to import, and seldom needed
    import urllib.request

    request = urllib.request.Request(url, data=body, method="POST", headers={
        "Content-Type": "application/json", "Accept": "application/json",
        "X-Skygear-SDK-Version": "py-skygear/" + __version__,
    })
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as e:
        return json.loads(e.read())


def send_action(url, payload, timeout=60):
    """Send a request that is complete already."""
    return _over_http(url, json.dumps(payload, cls=PayloadEncoder).encode("utf-8"), timeout)


__all__ = ["PayloadEncoder", "SkygearContainer", "SkygearException", "send_action"]
