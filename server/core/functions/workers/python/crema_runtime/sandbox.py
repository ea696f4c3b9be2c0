"""Makes the stripe package talk to the server's sandbox, without a change in the code that uses it, and keeps
everything else from reaching Stripe by mistake."""
import functools
import os
import socket
import sys
from urllib.parse import urlsplit

BASES = ("api_base", "upload_api_base", "uploads_api_base", "connect_api_base", "meter_events_api_base")
SENDERS = ("request_with_retries", "request_stream_with_retries", "request_with_retries_async", "request_stream_with_retries_async")


def close():
    """Put Stripe out of reach. It comes before anything of the app is imported, which could keep what it replaces."""
    if os.environ.get("STRIPE_API_BASE"):
        guard()


def apply():
    base = os.environ.get("STRIPE_API_BASE")
    if not base:
        return
    try:
        import stripe
    except ImportError:
        return
    except Exception as e:
        print("crema: the package stripe cannot be imported here: %s" % e, file=sys.stderr)
        return
    for name in BASES:
        setattr(stripe, name, base)
    redirect(base)


def redirect(base):
    """Move requests at the place where they leave the package: its clients of version 8 and newer have addresses of
    their own."""
    client = getattr(sys.modules.get("stripe._http_client") or sys.modules.get("stripe.http_client"), "HTTPClient", None)
    for name in SENDERS:
        if hasattr(client, name):
            setattr(client, name, moved(getattr(client, name), base))


def moved(send, base):
    @functools.wraps(send)
    def sending(self, method, url, *args, **kwargs):
        parts = urlsplit(url)
        if is_stripe(parts.hostname):
            url = base.rstrip("/") + parts.path + ("?" + parts.query if parts.query else "")
        return send(self, method, url, *args, **kwargs)

    return sending


def is_stripe(host):
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    return isinstance(host, str) and ("." + host.lower().rstrip(".")).endswith(".stripe.com")


def refuse(host):
    if is_stripe(host):
        raise socket.gaierror(socket.EAI_FAIL, "%s is not called while the server is in its sandbox" % host)


def guard():
    """Refuse Stripe's names wherever Python code gives one to the system, and to a proxy."""
    for module in (socket, sys.modules["_socket"]):
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            setattr(module, name, refusing(getattr(module, name)))
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, refusing_address(getattr(socket.socket, name)))
    from http.client import HTTPConnection  # only where it is wanted: it takes its time
    tunnel = HTTPConnection.set_tunnel

    @functools.wraps(tunnel)
    def set_tunnel(self, host, *args, **kwargs):
        refuse(host.rpartition(":")[0] or host)
        return tunnel(self, host, *args, **kwargs)

    HTTPConnection.set_tunnel = set_tunnel


def refusing(resolve):
    @functools.wraps(resolve)
    def resolving(host, *args, **kwargs):
        refuse(host)
        return resolve(host, *args, **kwargs)

    return resolving


def refusing_address(connect):
    @functools.wraps(connect)
    def connecting(self, address):
        if isinstance(address, tuple) and address:
            refuse(address[0])
        return connect(self, address)

    return connecting
