# Runs the attacker as attacker.cjs does, and attacks in Python itself.

import os
import subprocess
import time
from urllib.parse import parse_qs

attacker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attacker")


def app(environ, start_response):
    args = parse_qs(environ["QUERY_STRING"]).get("arg", [])
    match environ["PATH_INFO"]:
        case "/bomb":  # allocates memory without end
            held = []
            while True:
                held.append(bytearray(b"x" * (1 << 20)))
        case "/forks":  # a fork bomb
            while True:
                try:
                    if os.fork() and os.fork() == 0:
                        os.execv(attacker, ["attacker", "stay", args[0]])
                except OSError:
                    time.sleep(0.01)
    child = subprocess.Popen([attacker, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = child.stdout.readline()
    if first == b"listening\n":
        start_response("200 OK", [])
        return [first]
    out, errors = child.communicate()
    start_response("200 OK" if child.returncode == 0 else "500 Internal Server Error", [])
    return [first + out if child.returncode == 0 else f"{child.returncode}: ".encode() + errors[:2000]]
