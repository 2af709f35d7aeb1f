"""Turns the contents of a module into a server of requests."""

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import signal
import site
import sys
import time
import types
from http.server import BaseHTTPRequestHandler

from _lateen import call, control, output

NAMES = ("app", "application", "handler", "Handler")
TRAMPOLINE = "vc__handler__python"  # the module that Vercel's builder writes


def activate(spec):
    """Loads the function that spec describes, and serves its requests until the process ends."""
    began = time.monotonic()
    try:
        serve = prepare(spec)
    except BaseException as error:
        call.complain(error)
        message = call.exited(error) if isinstance(error, SystemExit) else call.summary(error)
        control.send("unrecoverable-error", {"exitCode": 1, "message": message})
        output.finish()
        os._exit(call.status(error) if isinstance(error, SystemExit) else 1)

    def started():
        control.watch()
        control.send("server-started", {"initDuration": (time.monotonic() - began) * 1000})

    serve(started)


def prepare(spec):
    """Loads the function's code and returns its server."""
    env = spec.get("env") or {}
    os.environ.update(env)
    if "TZ" in env:
        time.tzset()
    site.setquit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.chdir(spec["root"])
    module, name, path = locate(spec["root"], spec["handler"])
    sys.argv = [path]
    search(spec["root"], env.get("PYTHONPATH", ""))
    sys.meta_path.append(VercelRuntime())
    loaded = load(module, path)
    if module == TRAMPOLINE:
        loaded, name, path = follow()
    return server(loaded, name, path)


def locate(root, handler):
    """Returns the name of the module, the name of its variable or None, and the file.
    A handler is the path of a file, or a path without its suffix followed by a dot and
    the name of a variable."""
    if handler.endswith(".py") and os.path.isfile(os.path.join(root, handler)):
        return handler[:-3].replace("/", "."), None, os.path.join(root, handler)
    stem, _, name = handler.rpartition(".")
    for candidate in (stem, stem.replace(".", "/")):
        path = os.path.join(root, candidate + ".py")
        if candidate and os.path.isfile(path):
            return candidate.replace("/", "."), name, path
    raise ImportError(f"the entry file {handler} is not among the function's files")


def search(root, more):
    """Makes the function's own files importable, and then its bundled packages."""
    sys.path.insert(0, root)
    vendors = [os.path.join(root, entry) for entry in more.split(os.pathsep) if entry]
    vendors += [os.path.join(root, name) for name in ("_vendor", "vendor", "site-packages")]
    for vendor in vendors:
        if os.path.isdir(vendor):
            before = len(sys.path)
            site.addsitedir(vendor)
            added = sys.path[before:]
            del sys.path[before:]
            sys.path[1:1] = added


def load(name, path):
    """Runs a file as a module."""
    if all(part.isidentifier() for part in name.split(".")) and "." in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name and (name == error.name or name.startswith(error.name + "."))):
                raise
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def follow():
    """Returns the function that a trampoline calls, by the variables that it has set."""
    env = os.environ
    name, path = env["__VC_HANDLER_MODULE_NAME"], env["__VC_HANDLER_ENTRYPOINT_ABS"]
    return load(name, path), env.get("__VC_HANDLER_VARIABLE_NAME") or None, path


class VercelRuntime(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Replaces the modules of vercel_runtime by which functions reach the platform:
    this agent is that runtime."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "vercel_runtime":
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        pass


def stand_in():
    init = types.ModuleType("vercel_runtime.vc_init")
    init.vc_handler = None
    sys.modules["vercel_runtime.vc_init"] = init
    wait = types.ModuleType("vercel_runtime.wait_until")

    def wait_until(work):
        owner = call.current.get()
        if owner is None:
            raise RuntimeError("wait_until was called outside of a request")
        owner.wait_until(work)

    wait.wait_until = wait.waitUntil = wait_until
    sys.modules["vercel_runtime.wait_until"] = wait


stand_in()


def server(module, name, path):
    """Returns the server of a module's application: a function that takes a callback for its start."""
    from _lateen import loop, threads

    names = (name,) if name and hasattr(module, name) else NAMES
    found = next((getattr(module, candidate) for candidate in names if hasattr(module, candidate)), None)
    where = os.path.basename(path)
    if found is None:
        raise ImportError(f"{where} has none of {', '.join(NAMES)}: define a WSGI or ASGI application, or a BaseHTTPRequestHandler")
    if isinstance(found, type) and issubclass(found, BaseHTTPRequestHandler):
        return lambda started: threads.serve(threads.HandlerClass(found), started)
    if callable(getattr(found, "asgi", None)):
        found = found.asgi
    kind = interface(found)
    if kind == "wsgi":
        return lambda started: threads.serve(threads.Wsgi(found), started)
    if kind == "asgi":
        return lambda started: loop.serve(found, started)
    if kind == "asgi2":
        return lambda started: loop.serve(doubled(found), started)
    raise TypeError(f"{where}: the application is neither a WSGI application, (environ, start_response), "
                    "nor an ASGI one, async (scope, receive, send)")


def interface(application):
    """Returns the interface of a callable: wsgi, asgi, asgi2, or None. Its number of
    parameters and whether it is asynchronous determine the interface."""
    if not callable(application):
        return None
    target = application
    if not inspect.isroutine(application) and not inspect.isclass(application) and not isinstance(application, functools.partial):
        target = application.__call__  # an object that is callable
    least, most = parameters(target)
    if inspect.isclass(application):
        if least <= 3 <= most and hasattr(application, "__await__"):
            return "asgi"
    elif is_async(target):
        return "asgi" if least <= 3 <= most else None
    if least <= 2 <= most:
        return "wsgi"
    if least == 3:
        return "asgi"  # a wrapper that returns the result of another application
    return "asgi2" if least == most == 1 else None


def is_async(function):
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function)


def parameters(function):
    """Returns the minimum and maximum number of positional arguments of a callable."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return 2, 2  # of a compiled module
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in signature.parameters.values() if p.kind in kinds]
    least = sum(p.default is p.empty for p in positional)
    endless = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
    return least, sys.maxsize if endless else len(positional)


def doubled(application):
    """Adapts an application of ASGI 2, which is called twice, to ASGI 3."""
    async def adapted(scope, receive, send):
        await application(scope)(receive, send)

    return adapted
