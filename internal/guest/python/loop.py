"""Serves ASGI applications on one event loop."""

import asyncio
import contextvars
import signal
import socket
import sys

from _lateen import call, delay
from _lateen.http1 import Framing, Head

HIGH = 256 * 1024  # bytes of a body that are buffered for the application before reading pauses
GRACE = 0.4  # s for the shutdown handlers of an application


def serve(application, started):
    asyncio.run(run(application, started))


async def run(application, started):
    loop = asyncio.get_running_loop()
    lifespan = Lifespan(application)
    await lifespan.start()
    ended = loop.create_future()
    previous = signal.getsignal(signal.SIGTERM)
    if getattr(previous, "__module__", "").startswith("_lateen"):
        loop.add_signal_handler(signal.SIGTERM, lambda: ended.done() or ended.set_result(None))
    listener = socket.socket(fileno=4)
    listener.set_inheritable(False)
    server = await loop.create_server(lambda: Connection(application, lifespan.state), sock=listener)
    started()
    await ended
    server.close()
    await lifespan.stop()
    sys.exit(0)


class Lifespan:
    """The lifespan protocol: the application's startup and shutdown handlers, if it has any."""

    def __init__(self, application):
        self.application = application
        self.state = {}
        self.inbox = asyncio.Queue()
        self.outbox = asyncio.Queue()
        self.task = None

    async def start(self):
        self.task = asyncio.create_task(self._run())
        await self.inbox.put({"type": "lifespan.startup"})
        answer = await self.outbox.get()
        if answer["type"] == "lifespan.startup.failed":
            raise RuntimeError("the application's startup failed: " + answer.get("message", ""))

    async def stop(self):
        if self.task.done():
            return
        await self.inbox.put({"type": "lifespan.shutdown"})
        await asyncio.wait([self.task], timeout=GRACE)

    async def _run(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.application(scope, self.inbox.get, self.outbox.put)
        except Exception:
            pass  # it does not support this scope, or has reported its failure
        await self.outbox.put({"type": "none"})


class Connection(asyncio.Protocol):
    """A connection of the supervisor, with one request at a time."""

    def __init__(self, application, state):
        self.application = application
        self.state = state
        self.buffer = bytearray()
        self.request = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        self.advance()

    def connection_lost(self, exc):
        self.writable.set()
        if self.request:
            self.request.disconnect()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def advance(self):
        """Processes the received data."""
        if self.request is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = Head(bytes(self.buffer[:end]).split(b"\r\n"))
            del self.buffer[:end + 4]
            self.request = Request(self, head)
        self.request.feed(self.buffer)

    def through(self, stays):
        """Records the end of a request."""
        self.request = None
        if not stays:
            self.transport.close()
        elif self.buffer:
            self.advance()


class Request:
    """A request and its response."""

    def __init__(self, connection, head):
        self.connection = connection
        self.head = head
        self.owner = call.Call(head.headers)
        self.chunked = head.chunked
        self.left = 0 if self.chunked else head.length  # of the body, or of a chunk of it
        self.whole = not self.chunked and self.left == 0  # the body is complete
        self.given = False  # the application has received all of it
        self.parts = bytearray()
        self.news = asyncio.Event()
        self.gone = False  # the client has disconnected
        self.framing = None
        self.pending = None  # the head, not sent yet
        self.begun = False
        self.ended = False
        self.draining = False  # the response has ended: the rest of the body is discarded, and the data after it is another request
        context = contextvars.copy_context()
        context.run(call.current.set, self.owner)
        loop = asyncio.get_running_loop()
        delay.begin(loop, call.is_busy)
        self.task = loop.create_task(self.run(), context=context)

    def scope(self):
        head = self.head
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": head.method,
            "scheme": head.scheme, "path": head.decoded.decode("utf-8", "replace"), "raw_path": head.path.encode("latin-1"),
            "query_string": head.query.encode("latin-1"), "root_path": "",
            # Frameworks replace "-" by "_", so a name with "_" could be taken for another header.
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in head.headers if "_" not in name],
            "client": (head.client, 0), "server": head.server, "state": dict(self.connection.state),
        }

    def feed(self, buffer):
        """Moves the bytes of the body from the buffer to the body."""
        while not self.whole and buffer:
            if self.left == 0 and not self.next(buffer):
                break
            part = min(self.left, len(buffer))
            if not self.whole:
                self.parts += buffer[:part]
                del buffer[:part]
                self.left -= part
                self.whole = not self.chunked and self.left == 0
        if self.draining:
            self.drain()
            return
        if len(self.parts) > HIGH:
            self.connection.transport.pause_reading()
        self.news.set()

    def drain(self):
        """Discards the body and passes the connection to the next request, even if the
        application still runs. The response has not said that the connection ends, so it
        must not: the supervisor, which may have sent all of the body, would send the next
        request."""
        self.draining = True
        self.parts.clear()
        self.connection.transport.resume_reading()
        if self.whole:
            self.connection.through(True)

    def next(self, buffer):
        """Reads the head of a chunk, if it has arrived."""
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
        end = buffer.find(b"\r\n")
        if end < 0:
            return False
        self.left = int(bytes(buffer[:end]).split(b";")[0], 16)
        if self.left == 0:
            rest = buffer.find(b"\r\n\r\n", end)  # behind trailer fields, which ASGI has no place for
            if rest < 0:
                return False
            del buffer[:rest + 4]
            self.whole = True
            return True
        del buffer[:end + 2]
        return True

    def disconnect(self):
        self.gone = True
        self.news.set()

    async def receive(self):
        while True:
            if self.gone or self.ended:
                return {"type": "http.disconnect"}
            if not self.given and (self.parts or self.whole):
                part, self.given = bytes(self.parts), self.whole
                self.parts.clear()
                self.connection.transport.resume_reading()
                return {"type": "http.request", "body": part, "more_body": not self.whole}
            self.news.clear()
            await self.news.wait()

    async def send(self, message):
        kind = message["type"]
        if kind == "http.response.start":
            if self.framing:
                raise RuntimeError("the response was started twice")
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            self.framing = Framing(self.head.method, message["status"], headers)
            self.pending = self.framing.head(message["status"], "", headers)
        elif kind == "http.response.body":
            if not self.framing or self.ended:
                raise RuntimeError("a response's body came outside of it")
            data = self.framing.part(message.get("body", b""))
            if not message.get("more_body", False):
                data += self.framing.end()
                self.ended = True
            if self.pending is not None:
                data, self.pending = self.pending + data, None
            if data and not self.gone:
                self.begun = True
                self.connection.transport.write(data)
                await self.connection.writable.wait()
            if self.ended:
                self.news.set()
                if not self.gone:
                    self.drain()

    async def run(self):
        try:
            await self.connection.application(self.scope(), self.receive, self.send)
            if not self.ended and not self.gone:
                raise call.NoResponse("the application ended before its response did")
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self.ended:
                call.complain(error)  # the response is complete already
            elif not self.gone:
                answer = self.owner.fail(error)
                if not self.begun:
                    self.connection.transport.write(answer)
        finally:
            self.ended = True
            self.news.set()
            self.owner.settle()
            if not self.draining:  # else the connection is no longer this request's
                self.connection.through(False)
