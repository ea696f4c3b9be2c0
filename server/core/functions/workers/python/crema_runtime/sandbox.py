"""Makes the stripe package talk to the server's sandbox, without a change in the code that uses it, and keeps
everything else from reaching Stripe by mistake."""
import os
import socket
import sys


def apply():
    base = os.environ.get("STRIPE_API_BASE")
    if not base:
        return
    guard()
    try:
        import stripe
    except ImportError:
        return
    except Exception as e:
        print("crema: the package stripe cannot be imported here: %s" % e, file=sys.stderr)
        return
    for name in ("api_base", "upload_api_base", "uploads_api_base", "connect_api_base", "meter_events_api_base"):
        setattr(stripe, name, base)


def guard():
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if isinstance(name, str) and ("." + name.lower().rstrip(".")).endswith(".stripe.com"):
            raise socket.gaierror(socket.EAI_FAIL, "%s is not called while the server is in its sandbox" % name)
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo
