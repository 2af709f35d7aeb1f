"""A call is one request: it collects the request's lines, and decides its end and the meaning of its failure."""

import asyncio
import base64
import contextvars
import inspect
import threading
import traceback

from _lateen import control, delay

PREFIX = "x-vercel-internal-"
MAX_SUMMARY = 4096  # characters
MAX_ENTRY = 256 * 1024
OUTSIDE = {"invocationId": "0", "requestId": 0}

current = contextvars.ContextVar("lateen_call", default=None)
live = set()
at_end = []  # functions to tell about calls that end

_lock = threading.Lock()
_retired = False


class Call:
    """headers are pairs of names and values; the platform's own fields are removed."""

    def __init__(self, headers):
        internal = {}
        while headers and headers[-1][0].startswith(PREFIX):  # the platform writes its fields last
            name, value = headers.pop()
            internal[name[len(PREFIX):]] = value
        self.id = int(internal.get("request-id", 0))
        self.hops = internal.get("hops")  # the hop count of its own requests, see hops.py
        self.invocation = internal.get("invocation-id", "")
        self.reference = {"invocationId": self.invocation, "requestId": self.id}
        self.error = None
        self.waiting = 1  # number of pending parts: the response, and arguments of wait_until
        with _lock:
            live.add(self)

    def settle(self):
        """Records the end of one pending part of the call."""
        with _lock:
            self.waiting -= 1
            if self.waiting > 0:
                return
            live.discard(self)
        for tell in at_end:
            tell(self)
        control.send("end", {"context": self.reference, "error": self.error, "delay": delay.take()})

    def wait_until(self, work):
        """Keeps the call from ending until an awaitable, or a function without arguments, has completed."""
        if not inspect.isawaitable(work) and not callable(work):
            raise TypeError("wait_until takes an awaitable or a function without arguments")
        with _lock:
            self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(self._work, work), daemon=True).start()
        else:
            loop.create_task(self._await(work))

    def _work(self, work):
        try:
            result = work() if callable(work) else work
            if inspect.isawaitable(result):
                asyncio.run(_just(result))
        except Exception as error:
            complain(error)
        finally:
            self.settle()

    async def _await(self, work):
        try:
            if not inspect.isawaitable(work):
                work = work() if inspect.iscoroutinefunction(work) else asyncio.to_thread(work)
            result = await work
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            complain(error)
        finally:
            self.settle()

    def fail(self, error):
        """Fails the call, once, and returns the response in place of the function's."""
        complain(error)
        reason, message = "failed", summary(error)
        if isinstance(error, SystemExit):
            reason = "no-response" if error.code in (None, 0) else "failed"
            message = exited(error)
            retire(message, status(error))
        elif isinstance(error, NoResponse):
            reason = "no-response"
        self.error = self.error or {"reason": reason, "message": message}
        body = message.encode()
        return (f"HTTP/1.1 500 Failed\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{PREFIX}failure: {reason}\r\n\r\n").encode() + body


def is_busy():
    return len(live) > 0


class NoResponse(Exception):
    """The error of user code that ended without a response."""


async def _just(awaitable):
    return await awaitable


def exited(error):
    return f"the function called sys.exit({error.code if error.code is not None else ''})"


def status(error):
    """Returns the exit status of a process for a SystemExit."""
    return error.code if isinstance(error.code, int) else 0 if error.code is None else 1


def summary(error):
    """Returns an error as a few lines, without its stack."""
    try:
        text = traceback.format_exception_only(type(error), error)[-1].strip()
    except Exception:
        text = type(error).__name__
    return text[:MAX_SUMMARY]


def complain(error):
    """Writes an error to the output of the running code."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        text = summary(error)
    if isinstance(error, SystemExit):
        text = exited(error)
    log(text.rstrip("\n"), "error")


def log(text, level, call=None):
    """Sends output to the platform."""
    call = call or current.get()
    control.send("log", {
        "context": call.reference if call else OUTSIDE,
        "message": base64.b64encode(text[:MAX_ENTRY].encode("utf-8", "replace")).decode(),
        "level": level,
        "truncated": len(text) > MAX_ENTRY,
    })



def retire(message, code):
    """Tells the platform to send no more requests, and to end the process after the last."""
    global _retired
    with _lock:
        if _retired:
            return
        _retired = True
    control.send("unrecoverable-error", {"exitCode": code, "message": message})
