"""Free ports below the ephemeral range, so that no outgoing connection takes one meanwhile."""
import os
import socket

_next = 20000 + os.getpid() * 37 % 9000


def free_port():
    global _next
    for _ in range(10000):
        _next = _next + 1 if _next < 32000 else 20000
        try:
            with socket.socket() as s:
                s.bind(("127.0.0.1", _next))
            return _next
        except OSError:
            continue
    raise RuntimeError("no free port")
