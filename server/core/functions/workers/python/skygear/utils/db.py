"""The app's database through SQLAlchemy, which an app that uses it names in its requirements."""
import contextlib
import os
import re

from ..options import options

_engine = None
_metadata = None


def _schema():
    return "app_" + re.sub("[.:]", "_", options.appname)


def _get_engine():
    global _engine
    if _engine is None:
        try:
            import sqlalchemy
            from sqlalchemy.dialects.postgresql import base
        except ImportError as e:
            raise ImportError("skygear.utils.db needs SQLAlchemy and psycopg2; put them into requirements.txt") from e
        base.ischema_names["citext"] = sqlalchemy.types.TEXT
        url = os.environ.get("DATABASE_URL")
        if not url:
            raise ValueError("DATABASE_URL is not set")
        _engine = sqlalchemy.create_engine(re.sub("^postgres:", "postgresql:", url))
    return _engine


def _execute(connection, statement):
    import sqlalchemy

    return connection.execute(sqlalchemy.text(statement))


def quotedIdentifier(name):
    return '"%s"' % name.replace('"', '""')


@contextlib.contextmanager
def conn():
    """A connection in a transaction, with the app's tables in sight."""
    with _get_engine().begin() as connection:
        _execute(connection, "SET search_path TO %s, public" % quotedIdentifier(_schema()))
        yield connection


class _OnDemand:
    """A connection that is opened when somebody uses it."""

    def __init__(self, stack):
        self._stack = stack
        self._conn = None

    def __getattr__(self, name):
        if self._conn is None:
            self._conn = self._stack.enter_context(conn())
        return getattr(self._conn, name)


@contextlib.contextmanager
def on_demand():
    with contextlib.ExitStack() as stack:
        yield _OnDemand(stack)


def _get_metadata():
    global _metadata
    if _metadata is None:
        engine = _get_engine()
        import sqlalchemy

        _metadata = sqlalchemy.MetaData()
        _metadata.reflect(bind=engine, schema=_schema(), views=True)
    return _metadata


def get_table(name):
    """The table of a record type, as the database describes it."""
    global _metadata
    full = _schema() + "." + name
    if full not in _get_metadata().tables:
        _metadata = None  # the type may be new
    try:
        return _get_metadata().tables[full]
    except KeyError:
        raise Exception("there is no table %s in %s" % (name, _schema())) from None


def has_table(name):
    return _schema() + "." + name in _get_metadata().tables
