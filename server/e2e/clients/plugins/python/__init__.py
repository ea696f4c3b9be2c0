import skygear
from skygear.container import SkygearContainer
from skygear.error import PermissionDenied, SkygearException
from skygear.options import options
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
