"""Loads the app's files as modules of a package named plugin, as the hosted platform did."""
import base64
import importlib.machinery
import importlib.util
import inspect
import io
import os
import sys
import threading
import tokenize
import traceback
import types

PACKAGE = "plugin"
code = {}  # the app's files as they were when the pool was opened, by their path


class Source(importlib.machinery.SourceFileLoader):
    """Compiles the app's files, also those that were written for Python 3.6 and older, where async was a name like
    any other. Nothing is written beside them."""

    compiling = threading.Lock()

    def get_code(self, fullname):
        with self.compiling:
            before = sys.pycache_prefix, sys.dont_write_bytecode
            sys.pycache_prefix, sys.dont_write_bytecode = os.environ.get("PYTHONPYCACHEPREFIX"), False
            try:
                return super().get_code(fullname)
            finally:
                sys.pycache_prefix, sys.dont_write_bytecode = before

    def get_data(self, path):
        return code[path] if path in code else super().get_data(path)

    def path_stats(self, path):
        return {"mtime": 0, "size": len(code[path])} if path in code else super().path_stats(path)

    def source_to_code(self, data, path, *, _optimize=-1):
        try:
            return super().source_to_code(data, path, _optimize=_optimize)
        except SyntaxError:
            renamed = rename_async(data)
            if renamed is None:
                raise
            return super().source_to_code(renamed, path, _optimize=_optimize)


def rename_async(data):
    """Rename async to async_ where it is used as a name; None when it is nowhere."""
    try:
        lines = importlib.util.decode_source(data).splitlines(True)
        tokens = list(tokenize.generate_tokens(io.StringIO("".join(lines)).readline))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        return None
    places = []
    for before, token, after in zip([None] + tokens, tokens, tokens[1:]):
        if token.string != "async" or token.type not in (tokenize.NAME, getattr(tokenize, "ASYNC", -1)):
            continue
        if after.string in ("=", ")", ",", ".", ":", "==", "]") or before is not None and before.string == ".":
            places.append(token.start)
    if not places:
        return None
    for row, column in reversed(places):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + "async_" + line[column + len("async"):]
    return "".join(lines).encode("utf-8")


class Finder:
    """Gives the modules of the app's folder that loader: those of its packages, and at the end of the search,
    where it stands behind everything that is installed, those that are imported by their bare name."""

    def __init__(self, folder, top):
        self.folder = folder
        self.top = top

    def find_spec(self, name, path=None, target=None):
        if self.top != (path is None):
            return None
        for one in [self.folder] if self.top else path:
            inside = one == self.folder or one.startswith(os.path.join(self.folder, ""))
            if not inside or "site-packages" in one:
                continue
            base = os.path.join(one, name.rpartition(".")[2])
            for file, package in ((os.path.join(base, "__init__.py"), True), (base + ".py", False)):
                if file in code or os.path.isfile(file):
                    return importlib.util.spec_from_file_location(
                        name, file, loader=Source(name, file), submodule_search_locations=[base] if package else None)
        return None


def load(wanted):
    """Load the files and return what they registered."""
    from skygear import registry, skyconfig, transmitter
    from skygear.options import options
    from skygear.settings import parse_all

    folder, settings = wanted["dir"], wanted.get("settings") or {"config": {}}
    skyconfig.parse_config(settings["config"])
    os.chdir(folder)
    for name, text in (wanted["code"] or {}).items():
        code[os.path.join(folder, *name.split("/"))] = base64.b64decode(text)
    sys.dont_write_bytecode = True
    sys.meta_path.insert(1, Finder(folder, False))
    sys.meta_path.append(Finder(folder, True))
    problems = []
    if options.modules:
        for name in options.modules:
            attempt(problems, folder, name, lambda: load_module(folder, name))
    elif wanted["entry"]:
        file = wanted["files"][0]
        attempt(problems, folder, file, lambda: execute(PACKAGE, os.path.join(folder, file), [folder]))
    else:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [folder]
        sys.modules[PACKAGE] = package
        for file in wanted["files"]:
            name = PACKAGE + "." + os.path.splitext(file)[0]
            attempt(problems, folder, file, lambda: importlib.import_module(name))
    attempt(problems, folder, "settings", parse_all)
    for event in ("before-config", "after-config"):
        transmitter.tell(event, settings)
    static = []
    for prefix, func in list(registry.get_registry().static_assets.items()):
        file = os.path.relpath(inspect.unwrap(func).__code__.co_filename, folder)
        attempt(problems, folder, file, lambda: static.extend(registry.get_registry().static_folder(prefix)))
    declared = dict(registry.get_registry().declared(), static=static)
    declared["problems"] = problems
    declared["version"] = sys.version.split()[0]
    return declared


def load_module(folder, name):
    """Load one of LOAD_MODULES: a file, a folder or a package. The last two declare their functions in includeme."""
    from skygear.settings import config_module

    path = os.path.normpath(os.path.join(folder, name))
    inside = os.path.relpath(path, folder)
    package = PACKAGE if inside in (".", "__init__.py") else os.path.splitext(inside)[0].replace(os.sep, ".")
    if path in code or os.path.isfile(path):
        execute(package, path, [os.path.dirname(path)] if os.path.basename(path) == "__init__.py" else None)
    elif os.path.join(path, "__init__.py") in code or os.path.isdir(path):
        execute(package, os.path.join(path, "__init__.py"), [path])
        config_module(package)
    else:
        config_module(name)


def execute(name, file, path):
    spec = importlib.util.spec_from_file_location(name, file, loader=Source(name, file), submodule_search_locations=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def attempt(problems, folder, file, work):
    """Load one file. When it fails, what it has registered stays out, and the next one is tried."""
    from skygear import registry

    before = registry.get_registry().copy()
    try:
        work()
    except (Exception, SystemExit) as e:
        registry.get_registry().restore(before)
        line = getattr(e, "lineno", None) if isinstance(e, SyntaxError) else None
        for frame in traceback.extract_tb(e.__traceback__):
            if line is None or not isinstance(e, SyntaxError):
                if frame.filename.startswith(folder):
                    line = frame.lineno
        problems.append({
            "file": file, "line": line or 0, "message": "%s: %s%s" % (type(e).__name__, getattr(e, "msg", None) or e, hint(e)),
            "trace": traceback.format_exc(),
        })


# What py-skygear brought with it, by the name that is imported.
BROUGHT = {
    "bcrypt": "bcrypt", "boto3": "boto3", "configargparse": "ConfigArgParse", "psycopg2": "psycopg2-binary", "pythonjsonlogger": "python-json-logger",
    "requests": "requests", "sqlalchemy": "SQLAlchemy<2", "strict_rfc3339": "strict-rfc3339", "websocket": "websocket-client", "werkzeug": "Werkzeug",
    "zmq": "pyzmq",
}


def hint(e):
    """What helps where a package is missing."""
    if not isinstance(e, ModuleNotFoundError) or not e.name:
        return ""
    package = BROUGHT.get(e.name.partition(".")[0])
    return "; py-skygear brought it, here requirements.txt must name %s" % package if package else ""
