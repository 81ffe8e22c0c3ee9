"""Free ports below the ephemeral range, so that no outgoing connection takes one meanwhile. Each worker
of a parallel session has a range of its own."""
import os
import socket

SPAN = 1500
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
_first = 20000 + SPAN * _worker
_next = os.getpid() * 37 % SPAN


def free_port():
    global _next
    for _ in range(SPAN):
        _next = (_next + 1) % SPAN
        try:
            with socket.socket() as s:
                s.bind(("127.0.0.1", _first + _next))
            return _first + _next
        except OSError:
            continue
    raise RuntimeError("no free port")
