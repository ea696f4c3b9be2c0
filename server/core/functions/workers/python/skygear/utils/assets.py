"""Files that an app serves beside those of its site."""
import hashlib
import importlib.util
import mimetypes
import os


class StaticAssetsLoader:
    """Where files come from. Subclasses say which there are."""

    def get_asset(self, name):
        return None

    def copy_into(self, path):
        pass

    def exists_asset(self, name):
        return False

    def respond_below(self, prefix):
        """A handler for the files below /static/<prefix>/, for loaders without a folder that the server could serve."""
        from skygear.utils.http import Response

        start = "/static/" + prefix + "/" if prefix else "/static/"

        def respond(request):
            name = request.path[len(start):]
            if not name or not self.exists_asset(name):
                return Response("there is no file %s\n" % request.path, status=404, mimetype="text/plain")
            body = self.get_asset(name)
            if isinstance(body, str):
                body = body.encode("utf-8")
            headers = {"ETag": '"%s"' % hashlib.sha256(body).hexdigest()[:24], "Cache-Control": "no-cache"}
            if headers["ETag"] in request.headers.get("If-None-Match", ""):
                return Response(b"", status=304, headers=headers)
            return Response(body, headers=headers, content_type=mimetypes.guess_type(name)[0] or "application/octet-stream")

        return respond


class DictStaticAssetsLoader(StaticAssetsLoader):
    """Files that are given by name."""

    def __init__(self, files):
        self.files = {_relative(name): body for name, body in files.items()}

    def get_asset(self, name):
        return self.files.get(name)

    def exists_asset(self, name):
        return name in self.files


class DirectoryStaticAssetsLoader(StaticAssetsLoader):
    """Files of a folder."""

    def __init__(self, dirpath):
        self.dirpath = os.path.abspath(dirpath)
        if not os.path.isdir(self.dirpath):
            raise ValueError("%s is no folder" % dirpath)

    def get_full_path(self, name):
        path = os.path.realpath(os.path.join(self.dirpath, name))
        if os.path.commonpath([path, os.path.realpath(self.dirpath)]) != os.path.realpath(self.dirpath):
            raise ValueError("%s is outside of the folder" % name)
        return path

    def get_asset(self, name):
        with open(self.get_full_path(name), "rb") as f:
            return f.read()

    def exists_asset(self, name):
        return os.path.isfile(self.get_full_path(name))


class PackageStaticAssetsLoader(DirectoryStaticAssetsLoader):
    """Files of a folder in a package."""

    def __init__(self, package_name, package_path):
        spec = importlib.util.find_spec(package_name)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError("there is no package %s" % package_name)
        super().__init__(os.path.join(spec.submodule_search_locations[0], _relative(package_path)))


def _relative(path):
    path = path[1:] if path.startswith("/") else path
    return path[2:] if path.startswith("./") else path


def directory_assets(path="static"):
    """A loader for a folder, absolute or below the app's."""
    return DirectoryStaticAssetsLoader(path)


def relative_assets(path="static", current_file=None):
    """A loader for a folder beside a file, which is the caller's unless another one is named."""
    import inspect

    file = current_file or inspect.stack()[1].filename
    return DirectoryStaticAssetsLoader(os.path.join(os.path.dirname(os.path.abspath(file)), path))


def package_assets(package_name, path="static"):
    """A loader for a folder in an installed package."""
    return PackageStaticAssetsLoader(package_name, path)
