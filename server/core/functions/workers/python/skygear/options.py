"""The settings of the runtime, from the environment. The names are those of py-skygear's command line."""
import os
from argparse import Namespace


def _true(name):
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


def _modules(value):
    for separator in ":,":
        if separator in value:
            break
    else:
        separator = None
    names = []
    for name in value.split(separator):
        name, _, language = name.partition("~")
        if name and language in ("", "py"):
            names.append(name)
    return names


def _read():
    env = os.environ.get
    return Namespace(
        apikey=env("API_KEY"), masterkey=env("MASTER_KEY"), appname=env("APP_NAME", ""),
        skygear_address=env("SKYGEAR_ADDRESS", "tcp://127.0.0.1:5555"),
        skygear_endpoint=env("SKYGEAR_ENDPOINT", "http://127.0.0.1:3000"), pubsub_url=env("PUBSUB_URL"),
        subprocess=None, http=_true("HTTP"), http_addr=env("HTTP_ADDR", "0.0.0.0:8000"),
        zmq_thread_pool=int(env("ZMQ_THREAD_POOL", "4")), zmq_thread_limit=int(env("ZMQ_THREAD_LIMIT", "10")),
        modules=_modules(env("LOAD_MODULES", "")), collect_assets=None, force_assets=False,
        serve_static_assets=_true("SERVE_STATIC_ASSETS"), ignore_public_html=_true("IGNORE_PUBLIC_HTML"),
        asset_store=env("ASSET_STORE", "fs"), asset_store_public=_true("ASSET_STORE_PUBLIC"),
        asset_store_url_prefix=env("ASSET_STORE_URL_PREFIX"), asset_store_secret=env("ASSET_STORE_SECRET"),
        asset_store_access_key=env("ASSET_STORE_ACCESS_KEY"), asset_store_secret_key=env("ASSET_STORE_SECRET_KEY"),
        asset_store_region=env("ASSET_STORE_REGION"), asset_store_bucket=env("ASSET_STORE_BUCKET"),
        asset_store_s3_url_prefix=env("ASSET_STORE_S3_URL_PREFIX"), cloud_asset_host=env("CLOUD_ASSET_HOST"),
        cloud_asset_token=env("CLOUD_ASSET_TOKEN"), cloud_asset_public_prefix=env("CLOUD_ASSET_PUBLIC_PREFIX"),
        cloud_asset_private_prefix=env("CLOUD_ASSET_PRIVATE_PREFIX"), loglevel=env("LOG_LEVEL", "INFO").upper(),
        logformatter=env("LOG_FORMATTER", "text"),
        debug=_true("DEBUG"), plugin=None)


options = _read()


def parse_args():
    return options
