"""Logs of functions: what they log from level LOG_LEVEL on goes to the server, line by line."""
import json
import logging
import time

from .context import current_request_id


class CloudLogFormatter(logging.Formatter):
    """One JSON object for each record, as LOG_FORMATTER=json asks for."""

    def format(self, record):
        fields = {
            "level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        }
        for name in ("request_id", "tag"):
            if hasattr(record, name):
                fields[name] = getattr(record, name)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class RequestContextFilter(logging.Filter):
    """Adds the id of the request."""

    def filter(self, record):
        if current_request_id():
            record.request_id = str(current_request_id())
        return True


class RequestTagFilter(logging.Filter):
    """Adds a tag to records of some loggers, unless they have one."""

    def __init__(self, tag, name=""):
        super().__init__(name)
        self.tag = tag

    def filter(self, record):
        if super().filter(record) and self.tag and not hasattr(record, "tag"):
            record.tag = self.tag
        return True


def setLoggerTag(logger, tag):
    logger.addFilter(RequestTagFilter(tag))


def get_logger(name=None):
    return logging.getLogger(name or "plugin")


def setup(options):
    """Let all loggers write to stderr. The server knows the time."""
    levels = {name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL")}
    root, handler = logging.getLogger(), logging.StreamHandler()
    if options.logformatter == "json":
        handler.setFormatter(CloudLogFormatter())
        for one in (RequestContextFilter(), RequestTagFilter("cloud")):
            handler.addFilter(one)
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s [%(name)s:%(lineno)s] %(message)s"))
    root.addHandler(handler)
    root.setLevel(levels.get(options.loglevel, logging.INFO))
