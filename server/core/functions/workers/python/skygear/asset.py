"""URLs of files, signed by functions."""
import base64
import hashlib
import hmac
import time
import urllib.parse

from .error import InvalidArgument, SkygearException
from .options import options

LIFE = 15 * 60  # seconds


class FileSystemAssetSigner:
    """Signs for the server, which gives out the files wherever they are kept."""

    def __init__(self, url_prefix, secret, public=False):
        self.url_prefix, self.secret, self.public = url_prefix, secret, public

    signature_required = property(lambda self: not self.public)

    def available(self):
        return True

    def sign(self, name):
        """The address of a file, good for 15 minutes."""
        url = "%s/%s" % (self.url_prefix, urllib.parse.quote(name, safe="/"))
        if not self.signature_required:
            return url
        ends = str(int(time.time()) + LIFE)
        mac = hmac.new(self.secret.encode("utf-8"), (name + ends).encode("utf-8"), hashlib.sha256).digest()
        return "%s?expiredAt=%s&signature=%s" % (url, ends, base64.urlsafe_b64encode(mac).decode("ascii"))


_signer = None


def get_signer():
    global _signer
    if _signer is None:
        if options.asset_store != "fs":
            raise SkygearException("files are signed for ASSET_STORE=fs only, not for %s" % options.asset_store, InvalidArgument)
        _signer = FileSystemAssetSigner(options.asset_store_url_prefix, options.asset_store_secret, options.asset_store_public)
    return _signer
