"""Folders of files that an app serves."""
import os


class StaticAssetsLoader:
    """Where files come from."""

    def get_asset(self, name):
        raise NotImplementedError()

    def exists_asset(self, name):
        raise NotImplementedError()

    def copy_into(self, folder):
        raise NotImplementedError()


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


def relative_assets(name):
    """A loader for a folder beside the calling file."""
    import inspect

    caller = inspect.stack()[1].filename
    return DirectoryStaticAssetsLoader(os.path.join(os.path.dirname(os.path.abspath(caller)), name))


directory_assets = DirectoryStaticAssetsLoader
