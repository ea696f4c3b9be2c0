"""Publishes to channels."""
import json

from .container import SkygearContainer
from .options import options


class Hub:
    """Publishes with a key."""

    def __init__(self, end_point=None, api_key=None):
        self.transport = "websocket"
        self.end_point = end_point or options.pubsub_url or _default_url()
        self.api_key = api_key or options.apikey

    def publish(self, channels, data):
        """Send data, a dict, to one channel or to several."""
        from .utils import websocket

        if isinstance(channels, str):
            channels = [channels]
        frames = [json.dumps({"action": "pub", "channel": channel, "data": data}) for channel in channels]
        websocket.send(self.end_point, {"X-Skygear-API-Key": self.api_key} if self.api_key else {}, frames)


def _default_url():
    base = SkygearContainer.endpoint.rstrip("/")
    return ("wss" + base[5:] if base.startswith("https") else "ws" + base[4:]) + "/pubsub"


_hub = None


def get_hub():
    global _hub
    if _hub is None:
        _hub = Hub()
    return _hub


def publish(channel, data):
    get_hub().publish(channel, data)
