"""The server's configuration, as the events of its life tell it."""
from argparse import Namespace

config = Namespace()


def parse_config(values):
    for key, value in (values or {}).items():
        setattr(config, key, Namespace(**value) if isinstance(value, dict) else value)
    return config
