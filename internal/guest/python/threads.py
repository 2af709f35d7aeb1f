"""Serves blocking code, WSGI applications and handler classes, with a thread for each request in progress."""

import contextvars
import io
import queue
import socket
import sys
import threading

from _lateen import call
from _lateen.http1 import Body, Chunks, Framing, Head, MAX_LINE


_jobs = queue.SimpleQueue()
_idle = threading.Semaphore(0)  # counts the threads that wait for a job


def work(job):
    """Runs a job in an idle thread or in a new one."""
    if _idle.acquire(blocking=False):
        _jobs.put(job)
    else:
        threading.Thread(target=_labour, args=(job,), daemon=True).start()


def _labour(job):
    while True:
        job()
        _idle.release()
        job = _jobs.get()


def serve(application, started):
    """Accepts connections of the supervisor, which keeps some of them open."""
    listener = socket.socket(fileno=4)
    listener.set_inheritable(False)
    listener.setblocking(True)
    started()
    while True:
        connection, _ = listener.accept()
        work(Conversation(connection, application).go_on)


class Conversation:
    """A connection of the supervisor, with one request at a time, in any thread."""

    def __init__(self, connection, application):
        self.connection = connection
        self.application = application
        self.source = connection.makefile("rb", 1 << 16)

    def go_on(self, unread=None):
        """Discards the unread rest of a body, and answers requests until the connection ends."""
        stays = True
        try:
            stays = unread is None or drained(unread)
            while stays and stays is not HANDED_OVER:
                stays = contextvars.copy_context().run(exchange, self)
        except OSError:
            pass  # the supervisor has hung up
        finally:
            if stays is not HANDED_OVER:
                self.source.close()
                self.connection.close()


HANDED_OVER = object()  # the result of an exchange that has passed its connection to another thread


def exchange(conversation):
    """Answers one request; returns false if the connection cannot be reused."""
    source, lines = conversation.source, []
    while (line := source.readline(MAX_LINE).rstrip(b"\r\n")) or not lines:
        if not line:
            return False
        lines.append(line)
    head = Head(lines)
    owner = call.Call(head.headers)
    call.current.set(owner)
    raw = Body(source, head)
    response = Response(conversation, head.method, raw)
    try:
        conversation.application(head, io.BufferedReader(raw, 1 << 16), response)
        response.finish()
    except BaseException as error:
        if response.cut or raw.cut:  # the client has gone, or the supervisor
            return False
        if response.ended and isinstance(error, Exception):  # the response is complete already
            call.complain(error)
            return response.left or drained(raw)
        answer = owner.fail(error)
        if not response.begun:
            conversation.connection.sendall(answer)
        return False
    finally:
        owner.settle()
    return response.left or drained(raw)


def drained(raw):
    """Reads the rest of a body; false if it is truncated. The response has not
    said that the connection ends, so it must not: the supervisor, which may have
    sent all of the body, would send the next request."""
    buffer = bytearray(1 << 14)
    try:
        while not raw.through:
            raw.readinto(buffer)
    except OSError:
        pass
    return raw.through


class Response:
    """A response in progress."""

    def __init__(self, conversation, method, raw):
        self.conversation = conversation
        self.connection = conversation.connection
        self.method = method
        self.raw = raw  # the body of its request
        self.framing = None
        self.begun = False  # something was sent
        self.cut = False  # the supervisor has stopped reading
        self.ended = False
        self.left = None  # HANDED_OVER once another thread owns the connection
        self.head = None

    def start(self, status, reason, headers):
        framing = Framing(self.method, status, headers)
        self.head = framing.head(status, reason, headers)
        self.framing = framing

    def write(self, data):
        if self.head is None and not self.begun:
            raise AssertionError("a response's body came before its head")
        self.send(self.framing.part(data))

    def send(self, data):
        if self.head is not None:
            data, self.head = self.head + data, None
        if data:
            self.begun = True
            try:
                self.connection.sendall(data)
            except OSError:
                self.cut = True
                raise

    def finish(self):
        if self.ended:
            return
        if self.framing is None:
            raise call.NoResponse("it did not answer")
        self.send(self.framing.end())
        self.ended = True


    def leave(self):
        """Passes the connection to another thread once the response has ended, so that
        remaining work of the application delays no request."""
        self.left = HANDED_OVER
        rest = self.raw.detach()
        work(lambda: self.conversation.go_on(rest))


class Wsgi:
    """A WSGI application (PEP 3333)."""

    def __init__(self, application):
        self.application = application

    def __call__(self, head, body, response):
        def start_response(status, headers, exc_info=None):
            if exc_info:
                try:
                    if response.begun:
                        raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None
            elif response.framing:
                raise AssertionError("start_response was called twice")
            code, _, reason = status.partition(" ")
            pending[:] = [int(code), reason, list(headers)]
            response.start(*pending)
            return response.write

        pending = []
        chunks = self.application(environ(head, body), start_response)
        try:
            if pending and isinstance(chunks, (list, tuple)) and not response.begun and response.framing.chunked:
                pending[2].append(("content-length", str(sum(map(len, chunks)))))
                response.start(*pending)
            for chunk in chunks:
                if chunk:
                    response.write(chunk)
            response.finish()  # before close, which may be slow or fail
            if hasattr(chunks, "close"):
                response.leave()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()


def environ(head, body):
    name, port = head.server
    env = {
        "REQUEST_METHOD": head.method, "SCRIPT_NAME": "", "PATH_INFO": head.decoded.decode("latin-1"), "QUERY_STRING": head.query,
        "REQUEST_URI": head.target, "RAW_URI": head.target,
        "SERVER_NAME": name, "SERVER_PORT": str(port), "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": head.client,
        "wsgi.version": (1, 0), "wsgi.url_scheme": head.scheme, "wsgi.input": body, "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }
    for key, value in head.headers:
        if "_" in key:
            continue  # it would be taken for the header of the same name with "-"
        key = key.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key == "HTTP_TRANSFER_ENCODING":
            continue  # the body is passed without its transfer coding
        env[key] = f"{env[key]},{value}" if key in env else value
    return env


class HandlerClass:
    """Serves with a subclass of BaseHTTPRequestHandler, which parses requests and writes
    responses itself. Each request has a handler object of its own that can read this
    request only, so an unread body is never parsed as a request."""

    def __init__(self, kind):
        from http.server import BaseHTTPRequestHandler
        silent = kind.log_message is BaseHTTPRequestHandler.log_message  # requests are in the platform's own log

        class Handler(kind):
            def setup(self):
                self.connection = self.request
                self.rfile, self.wfile = self.request.rfile, self.request.wfile

            def finish(self):
                pass

            close_connection = property(lambda self: True, lambda self, value: None)

            def handle_one_request(self):
                if not self.asked:
                    self.asked = True
                    super().handle_one_request()

            asked = False

            def log_message(self, format, *args):
                if not silent:
                    super().log_message(format, *args)

        self.kind = Handler

    def __call__(self, head, body, response):
        if head.chunked:  # handlers expect a Content-Length
            content = body.read()
            head.headers = [(name, value) for name, value in head.headers if name.lower() != "transfer-encoding"]
            head.headers.append(("Content-Length", str(len(content))))
            body = io.BytesIO(content)
        text = "".join(f"{name}: {value}\r\n" for name, value in head.headers)
        first = f"{head.method} {head.target} HTTP/1.1\r\n{text}\r\n".encode("latin-1")
        name, port = head.server
        server = type("Server", (), {"server_name": name, "server_port": port, "server_address": (name, port)})()
        socket = Socket(response, first, body)
        self.kind(socket, (head.client, 0), server)
        socket.wfile.finish()


class Socket:
    """The connection that a handler sees."""

    def __init__(self, response, first, body):
        self.rfile = io.BufferedReader(Joined(io.BytesIO(first), body))
        self.wfile = Writer(response)

    def makefile(self, mode="r", *_, **__):
        return self.rfile if "r" in mode else self.wfile

    def sendall(self, data):
        self.wfile.write(data)

    def __getattr__(self, name):
        return lambda *_, **__: None


class Joined(io.RawIOBase):
    """The concatenation of files."""

    def __init__(self, *files):
        self._files = list(files)

    def readable(self):
        return True

    def readinto(self, buffer):
        while self._files:
            data = (self._files[0].read1 if hasattr(self._files[0], "read1") else self._files[0].read)(len(buffer))
            if data:
                buffer[:len(data)] = data
                return len(data)
            self._files.pop(0)
        return 0


class Writer(io.BufferedIOBase):
    """Parses the response that a handler writes to its connection."""

    def __init__(self, response):
        self._response = response
        self._head = b""
        self._chunks = None  # decoder of a body that the handler has chunked itself

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        if self._response.framing is not None:
            self._body(data)
            return len(data)
        self._head += data
        while self._response.framing is None:
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return len(data)
            self._head = rest
            self._begin(head)
        rest, self._head = self._head, b""
        self._body(rest)
        return len(data)

    def _begin(self, head):
        lines = head.decode("latin-1").split("\r\n")
        _, status, *reason = lines[0].split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        if int(status) < 200:
            return  # interim responses concern this connection only
        if any(name.lower() == "transfer-encoding" and value.lower() == "chunked" for name, value in headers):
            self._chunks = Chunks()
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]  # RFC 9112 §6.3
        self._response.start(int(status), reason[0] if reason else "", headers)

    def _body(self, data):
        self._response.write(self._chunks.feed(data) if self._chunks else data)

    def finish(self):
        if self._chunks and not self._chunks.through and not self._response.framing.empty:
            raise ValueError("the response has no last chunk")

    def flush(self):
        pass
