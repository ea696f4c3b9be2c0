import skygear
from skygear.container import SkygearContainer
from skygear.error import PermissionDenied, SkygearException
from skygear.models import PublicAccessControlEntry, Record, RecordID
from skygear.options import options
from skygear.predicate import Predicate
from skygear.query import Query
from skygear.utils.context import current_context, current_user_id


@skygear.op("probe:echo")
def echo(*args, **kwargs):
    return {"args": list(args), "kwargs": kwargs}


@skygear.op("probe:swap")
def swap(a, b=2):
    return [b, a]


@skygear.op("probe:nothing")
def nothing():
    return None


@skygear.op("probe:refuse")
def refuse():
    raise SkygearException("not you", PermissionDenied, {"bean": "blue"})


@skygear.op("probe:own")
def own():
    raise SkygearException("a code of its own", 4711)


@skygear.op("probe:crash")
def crash():
    return {}["missing"]


@skygear.op("probe:user", user_required=True)
def user():
    return current_user_id() is not None


@skygear.op("probe:key", key_required=True)
def key():
    return current_context().get("access_key_type")


@skygear.op("probe:who")
def who():
    context = current_context()
    return [context.get("user_id"), context.get("access_key_type")]


@skygear.op("probe:save")
def save(key):
    container = SkygearContainer(api_key=options.masterkey)
    answer = container.send_action("record:save", {"database_id": "_public", "records": [{"_id": "bean/" + key, "grams": 250}]})
    record = answer["result"][0]
    return {"id": record["_id"], "grams": record["grams"], "checked": record.get("checked"), "owner": record["_ownerID"]}


@skygear.handler("probe:page", method=["GET", "POST"])
def page(request):
    return {"path": request.path, "method": request.method, "a": request.args.get("a"), "body": request.get_data(as_text=True)}


@skygear.handler("probe:text")
def text(request):
    return "plain"


@skygear.handler("probe:teapot")
def teapot(request):
    return skygear.Response("short and stout", status=418, headers={"X-Tea": "green"})


@skygear.handler("probe:broken")
def broken(request):
    raise SkygearException("no page", PermissionDenied)


@skygear.before_save("bean")
def check(record, original, conn):
    if record.get("grams") == 13:
        raise SkygearException("not this many", PermissionDenied)
    record["checked"] = True
    record["again"] = original is not None
    return record


@skygear.after_save("bean", **{"async": True})
def later(record, original, conn):
    raise Exception("nobody hears this")


@skygear.before_delete("bean")
def keep(record, conn):
    if record.get("grams") == 1000:
        raise SkygearException("this one stays", PermissionDenied)


class Envelope(Exception):
    pass


@skygear.exception_handler(Envelope)
def envelope(e):
    return {"result": {"made": "of it"}} if str(e) == "result" else {"error": {"code": 110, "message": "gone"}}


@skygear.op("probe:envelope")
def enveloped(what):
    raise Envelope(what)


@skygear.op("probe:equal")
def equal(a, b):
    return [a == b, a in [b], a.recordID == b.recordID]


@skygear.op("probe:records")
def records(key):
    new = Record(RecordID("bean", key), None, None, data={"grams": 7})
    new.acl = [PublicAccessControlEntry("read")]
    database = SkygearContainer(api_key=options.masterkey).public_database
    saved = database.save(new)
    query = Query("bean", predicate=Predicate(grams__eq=7) | ~Predicate(grams__gt=0))
    return {"saved": saved["result"][0]["_access"], "found": [[r.id.key, r["grams"], r.acl[0].level] for r in database.query(query)]}


@skygear.rest("probe:things")
class Things(skygear.RestfulResource):
    def index(self):
        return ["all", self.request.args.get("q")]

    def get(self, ident):
        return {"id": ident}

    def update(self, ident):
        return {"id": ident, "payload": self.get_payload()}


@skygear.rest("probe:beans")
class Beans(skygear.RestfulRecord):
    record_type = "bean"

    def predicate(self):
        return ["eq", {"$type": "keypath", "$val": "grams"}, 7]


@skygear.handler("probe:twice")
def once(request):
    return "once"


@skygear.handler("probe:twice", method="GET")
def twice(request):
    return "twice"


events = []


@skygear.event("after-config")
def first_listener(config):
    events.append("first " + config["app"]["name"])


@skygear.event("after-config")
def second_listener(config):
    events.append("second")


@skygear.op("probe:events")
def heard():
    return events
