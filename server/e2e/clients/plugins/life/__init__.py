import skygear
from skygear.container import SkygearContainer
from skygear.options import options
from skygear.providers import BaseAuthProvider


def master():
    return SkygearContainer(api_key=options.masterkey)


@skygear.op("life:here")
def here():
    return True


@skygear.provides("auth", "probe")
class Probe(BaseAuthProvider):
    def login(self, auth_data):
        if auth_data.get("word") != "beans":
            raise Exception("who is this")
        return {"principal_id": auth_data["name"], "auth_data": auth_data}


@skygear.every("@every 1s")
def tick():
    master().send_action("record:save", {"database_id": "_public", "records": [{"_id": "seen/tick"}]})


@skygear.event("before-plugins-ready")
def before(config):
    master().send_action("schema:create", {"record_types": {"seen": {"fields": [{"name": "app", "type": "string"}]}}}, plugin_request=True)


@skygear.event("server-ready")
def ready(config):
    master().send_action("record:save", {"database_id": "_public", "records": [{"_id": "seen/ready", "app": config["app"]["name"]}]})


@skygear.event("schema-changed")
def changed(**types):
    if "made" in types:
        master().send_action("record:save", {"database_id": "_public", "records": [{"_id": "seen/" + types["made"]["fields"][0]["name"]}]})
