"""The server's configuration, as the events of its life tell it."""
from argparse import Namespace



class Configuration(Namespace):
    pass


config = Configuration()


def parse_config(values, namespace=None):
    namespace = config if namespace is None else namespace
    for key, value in (values or {}).items():
        setattr(namespace, key, parse_config(value, Configuration()) if isinstance(value, dict) else value)
    return namespace
