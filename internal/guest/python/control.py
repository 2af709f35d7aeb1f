"""The control socket: descriptor 3, JSON messages that end with a NUL, in both directions."""

import json
import os
import socket
import threading

_socket = socket.socket(fileno=3)
_socket.set_inheritable(False)
_socket.setblocking(True)
_lock = threading.RLock()


def send(kind, payload):
    """Sends one message. Exits if the supervisor has gone."""
    data = json.dumps({"type": kind, "payload": payload}).encode() + b"\0"
    try:
        with _lock:
            _socket.sendall(data)
    except OSError:
        os._exit(1)


def receive():
    """Blocks until a message arrives, and returns its content."""
    data = bytearray()
    while not data.endswith(b"\0"):
        chunk = _socket.recv(1 << 16)
        if not chunk:
            os._exit(0)
        data += chunk
    return json.loads(data[:-1])["payload"]


def watch():
    """From now on the process exits when the supervisor ends."""
    threading.Thread(target=_watch, name="lateen-control", daemon=True).start()


def _watch():
    try:
        while _socket.recv(1 << 10):
            pass
    finally:
        os._exit(0)
