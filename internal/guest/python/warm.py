"""The warm-up of a blank process: imports the modules that functions commonly import."""

import gc
import importlib

MODULES = (
    "array", "ast", "asyncio", "base64", "bisect", "calendar", "collections.abc", "concurrent.futures",
    "concurrent.futures.thread", "configparser", "contextlib", "copy", "csv", "ctypes", "dataclasses", "datetime", "decimal",
    "difflib", "email.message", "email.parser", "email.utils", "enum", "fractions", "functools", "getpass", "glob", "gzip",
    "hashlib", "heapq", "hmac", "html", "html.parser", "http", "http.client", "http.cookies", "http.server",
    "importlib.metadata", "importlib.resources", "inspect", "io", "ipaddress", "itertools", "json", "linecache", "locale",
    "logging", "logging.config", "logging.handlers", "math", "mimetypes", "numbers", "operator", "pathlib", "pickle", "pkgutil",
    "platform", "pprint", "queue", "random", "re", "secrets", "select", "selectors", "shutil", "signal", "site", "socket",
    "sqlite3", "ssl", "stat", "string", "struct", "subprocess", "tempfile", "textwrap", "threading", "time", "traceback",
    "types", "typing", "unicodedata", "urllib.parse", "urllib.request", "uuid", "warnings", "weakref",
    "xml.etree.ElementTree", "zipfile", "zlib", "zoneinfo",
)


def warm():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            try:
                importlib.import_module(name)
            except ImportError:
                pass  # not of this version, or not of this build
    for name in ("entry", "http1", "threads", "loop"):
        importlib.import_module("_lateen." + name)
    gc.collect()
    gc.freeze()  # exempt all current objects from collection
