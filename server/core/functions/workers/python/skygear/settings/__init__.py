"""Settings that plugins declare and the environment gives."""
import importlib
import os
import sys
from argparse import Namespace
from collections import namedtuple

from ..utils import strtobool

settings = Namespace()
_parsers = {}

SettingItem = namedtuple("SettingItem", "name default atype env_var resolve required")


class SettingsParser:
    """Reads PREFIX_NAME, or NAME, from the environment."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.settings = {}

    def add_setting(self, name, default=None, atype=str, env_var=None, resolve=True, required=True):
        if not name:
            raise Exception("a setting needs a name")
        if name in self.settings:
            raise Exception("the setting %s is declared already" % name)
        self.settings[name] = SettingItem(name, default, atype, env_var or name.upper(), resolve, required and default is None)

    def parse_settings(self, namespace=None):
        namespace = namespace or Namespace()
        for name, setting in self.settings.items():
            setattr(namespace, name, self._value(setting))
        return namespace

    def _value(self, setting):
        names = [self.prefix + "_" + setting.env_var] + ([setting.env_var] if setting.resolve else [])
        for name in names:
            if name in os.environ:
                return (strtobool if setting.atype is bool else setting.atype)(os.environ[name])
        if setting.required:
            raise Exception("the setting %s is missing; set %s" % (setting.name, names[0]))
        return setting.default() if callable(setting.default) else setting.default


def add_parser(name, parser, parse_now=True):
    if name in _parsers:
        raise Exception("there are settings called %s already" % name)
    _parsers[name] = parser
    if parse_now:
        _parse(name, parser)


def _parse(name, parser):
    setattr(settings, name, parser.parse_settings(getattr(settings, name, None)))


def parse_all():
    for name, parser in _parsers.items():
        _parse(name, parser)
    return settings


def config_module(name, *args, **kwargs):
    """Let a module declare its functions: call its includeme with the settings."""
    module = sys.modules.get(name) or importlib.import_module(name)
    if not hasattr(module, "includeme"):
        raise NotImplementedError("the module %s has no function includeme" % module.__name__)
    module.includeme(settings, *args, **kwargs)


__all__ = ["Namespace", "SettingsParser", "add_parser", "config_module", "parse_all", "settings"]
