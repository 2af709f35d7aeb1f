"""Sends the output of code to its standard streams and loggers to the platform, with the request that wrote it."""

import faulthandler
import io
import logging
import sys
import threading

from _lateen import call

LEVELS = ((logging.CRITICAL, "fatal"), (logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))


def install():
    """Captures the standard streams, and assigns levels to the root logger's lines."""
    faulthandler.enable(sys.__stderr__)  # writes crashes to the descriptor itself
    streams = [Stream(sys.stdout, "info"), Stream(sys.stderr, "error")]
    sys.stdout, sys.stderr = streams
    sys.__stdout__, sys.__stderr__ = streams
    call.at_end.append(lambda ended: [stream.finish(ended) for stream in streams])
    logging.basicConfig(level=logging.INFO, handlers=[Handler()])


def finish():
    """Flushes unfinished lines that belong to no request."""
    for stream in (sys.__stdout__, sys.__stderr__):
        stream.finish(None)


class Stream(io.TextIOBase):
    """Turns writes into entries. A write that ends with a line break is one
    entry with its inner line breaks. Text without a line break is buffered
    until one follows, separately for each call."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, stream, level):
        self._stream = stream
        self._level = level
        self._begun = {}
        self._lock = threading.Lock()
        self.buffer = Bytes(self)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        owner = call.current.get()
        with self._lock:
            whole = self._begun.pop(owner, "") + text
            end = whole.rfind("\n")
            rest = whole[end + 1:]
            if len(rest) > call.MAX_ENTRY:
                end, rest = len(whole), ""
            if rest:
                self._begun[owner] = rest
        if end > 0:
            call.log(whole[:end], self._level, owner)
        return len(text)

    def finish(self, owner):
        """Flushes unfinished lines."""
        with self._lock:
            rest = self._begun.pop(owner, "")
        if rest:
            call.log(rest, self._level, owner)

    def flush(self):
        pass

    def fileno(self):
        return self._stream.fileno()

    def writable(self):
        return True

    def isatty(self):
        return False


class Bytes(io.RawIOBase):
    """The stream for code that writes bytes."""

    def __init__(self, stream):
        self._text = stream

    def write(self, data):
        self._text.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def writable(self):
        return True

    def fileno(self):
        return self._text.fileno()


class Handler(logging.Handler):
    """The handler of the root logger: entries have the level of their log record."""

    def emit(self, record):
        try:
            text = self.format(record)
            level = next((name for least, name in LEVELS if record.levelno >= least), "debug")
            call.log(text, level)
        except Exception:
            self.handleError(record)
