"""The subset of HTTP/1.1 that the supervisor uses."""

import copy
import io
import re
from urllib.parse import unquote_to_bytes

MAX_LINE = 1 << 20
MAX_CHUNK_HEAD = 4096

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DIGITS = re.compile(r"[0-9]{1,18}")
HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")

OWN = ("connection", "content-length", "keep-alive", "transfer-encoding")  # fields that Framing writes or omits


class Head:
    """The head of a request: the method, the unparsed target, pairs of names and values."""

    def __init__(self, lines):
        self.method, self.target, _ = lines[0].decode("latin-1").split(" ", 2)
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            self.headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        self.path, _, self.query = self.target.partition("?")

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def chunked(self):
        return (self.get("transfer-encoding") or "").lower() == "chunked"

    @property
    def length(self):
        return int(self.get("content-length") or 0)

    @property
    def decoded(self):
        return unquote_to_bytes(self.path)

    @property
    def scheme(self):
        return (self.get("x-forwarded-proto") or "http").split(",")[0].strip()

    @property
    def client(self):
        return (self.get("x-forwarded-for") or self.get("x-real-ip") or "127.0.0.1").split(",")[0].strip()

    @property
    def server(self):
        host = self.get("host") or "localhost"
        name, colon, port = host.rpartition(":")
        if colon and port.isdigit():
            return name, int(port)
        return host, 443 if self.scheme == "https" else 80


class Body(io.RawIOBase):
    """The body of a request, read from the file of the connection."""

    def __init__(self, source, head):
        self._source = source
        self._chunked = head.chunked
        self._left = 0 if self._chunked else head.length
        self._last = not self._chunked
        self.cut = False  # the sender has disconnected

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._left == 0 and not self._last:
            self._next()
        if self._left == 0:
            return 0
        data = self._source.read1(min(len(buffer), self._left))
        if not data:
            self._break()
        buffer[:len(data)] = data
        self._left -= len(data)
        if self._left == 0 and self._chunked:
            self._source.readline()
        return len(data)

    def _next(self):
        line = self._source.readline(MAX_LINE)
        if not line:
            self._break()
        self._left = int(line.split(b";")[0], 16)
        if self._left == 0:
            self._last = True
            while self._source.readline(MAX_LINE) not in (b"\r\n", b"\n", b""):
                pass

    def detach(self):
        """Returns the rest of the body as a new body, and ends this one."""
        rest = copy.copy(self)
        self._left, self._last = 0, True
        return rest

    def _break(self):
        self.cut = True
        raise ConnectionError("the request's body broke off")

    @property
    def through(self):
        return self._left == 0 and self._last


class Framing:
    """The framing of a response on a persistent connection. It validates status, names
    and values by RFC 9110 §5 and §15: a value with a line end, for instance, would be
    read as another field, or as another response."""

    def __init__(self, method, status, headers):
        if not 200 <= status <= 999:
            raise ValueError(f"the response has the status {status}, which is not final")
        for name, value in headers:
            if not TOKEN.fullmatch(name):
                raise ValueError(f"the response has a header with the name {name!r}")
            if CONTROL.search(value):
                raise ValueError(f"the response's header {name} has a control character in its value")
        lengths = {value.strip() for name, value in headers if name.lower() == "content-length"}
        if len(lengths) > 1 or not all(DIGITS.fullmatch(length) for length in lengths):
            raise ValueError(f"the response has the content-length {', '.join(sorted(lengths))}")
        self.empty = method == "HEAD" or status in (204, 304)
        self.announced = None if status in (204, 304) else next(iter(lengths), None)
        self.length = int(self.announced) if self.announced and not self.empty else None
        self.chunked = not self.empty and self.length is None
        self.sent = 0

    def head(self, status, reason, headers):
        if CONTROL.search(reason):
            raise ValueError("the response's status has a control character")
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in OWN]
        if self.announced is not None:
            lines.append(f"content-length: {self.announced}")
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"

    def part(self, data):
        if self.empty or not data:
            return b""
        if self.chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self.sent + len(data) > self.length:
            raise ValueError("the response is longer than its content-length")
        self.sent += len(data)
        return data

    def end(self):
        if self.length is not None and self.sent < self.length:
            raise ValueError("the response is shorter than its content-length")
        return b"0\r\n\r\n" if self.chunked else b""


class Chunks:
    """Decodes a chunked body (RFC 9112 §7.1) incrementally."""

    def __init__(self):
        self._buffer = b""
        self._left = 0  # of the chunk
        self._behind = False  # the line end of the chunk is expected
        self.through = False  # the last chunk was read

    def feed(self, data):
        """Returns the part of the content in data."""
        self._buffer += data
        content = b""
        while not self.through:
            if self._left > 0:
                part = self._buffer[:self._left]
                content += part
                self._buffer = self._buffer[len(part):]
                self._left -= len(part)
                self._behind = self._left == 0
                if not self._behind:
                    break
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                if len(line) > MAX_CHUNK_HEAD:
                    raise ValueError("the response is not in chunks, as it says")
                break
            self._buffer = rest
            if self._behind:
                if line:
                    raise ValueError("a chunk of the response is longer than it says")
                self._behind = False
            else:
                self._begin(line)
        return content

    def _begin(self, line):
        size = line.partition(b";")[0].strip()
        if not HEX.fullmatch(size):
            raise ValueError("the response is not in chunks, as it says")
        self._left = int(size, 16)
        self.through = self._left == 0
