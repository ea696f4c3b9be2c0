"""Logs of functions."""
import logging


def get_logger(name=None):
    return logging.getLogger(name or "plugin")
