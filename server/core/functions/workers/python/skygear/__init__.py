"""Functions for the server: lambdas, HTTP handlers, hooks, timers, events and providers of identities.

The names and their behaviour are those of py-skygear 1.7, so that code written for it runs unchanged.
"""
from .__version__ import __version__
from .decorators import (
    after_delete, after_save, before_delete, before_save, event, every, exception_handler, handler, hook, op,
    provides, rest, static_assets,
)
from .restful import RestfulRecord, RestfulResource
from .settings import config_module as config
from .utils.db import conn as db_conn
from .utils.http import Response

__all__ = [
    "RestfulRecord", "RestfulResource", "Response", "__version__", "after_delete", "after_save", "before_delete",
    "before_save", "config", "db_conn", "event", "every", "exception_handler", "handler", "hook", "op", "provides",
    "rest", "static_assets",
]
