"""A TCP connection's way from here to there, which a test cuts: in one direction, in both, or for good."""
import contextlib
import socket
import threading

from kit.ports import free_port

CONNECTIONS = 200  # at once
THERE, BACK = "there", "back"  # what the client says; what it is answered


class Lane:
    """One direction of all connections."""

    def __init__(self):
        self.flows = threading.Event()
        self.flows.set()
        self.loses, self.delay = False, 0


class Wire:
    """Listens at `port` and passes everything on to `to`. Nothing is resolved, and nobody is told: whoever is cut off
    sees an open connection on which nothing comes, as behind a switch that has died.

    stall(): bytes wait, and arrive when it is mended, as late packets do. lose(): bytes vanish; their connections are
    closed when it is mended. reset(): all connections end at once. slow(): every piece comes so much later."""

    def __init__(self, to, port=None):
        self.to, self.port = to, port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.lanes = {THERE: Lane(), BACK: Lane()}
        self.lock, self.open, self.halves, self.robbed = threading.Lock(), set(), set(), set()
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what a test does ----
    def stall(self, *directions):
        for lane in self._lanes(directions):
            lane.flows.clear()

    def lose(self, *directions):
        for lane in self._lanes(directions):
            lane.loses = True
            lane.flows.clear()  # an end waits as well

    def slow(self, seconds, *directions):
        for lane in self._lanes(directions):
            lane.delay = seconds

    def mend(self):
        for lane in self.lanes.values():
            lane.loses, lane.delay = False, 0
            lane.flows.set()
        self._end(self.robbed)

    def reset(self):
        self._end(self.open)

    def stop(self):
        """As Site closes its other peers."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.mend()
        self.reset()

    # ---- how ----
    def _lanes(self, directions):
        return [self.lanes[d] for d in directions or (THERE, BACK)]

    def _end(self, pairs):
        """They leave the sets when both of their halves have ended."""
        with self.lock:
            ended = list(pairs)
        for pair in ended:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while not self.closing.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                continue  # closed
            try:
                if len(self.open) >= CONNECTIONS:
                    raise OSError("too many connections")
                server = socket.create_connection(("127.0.0.1", self.to), timeout=5)
            except OSError:
                client.close()
            else:
                self._pass_on(client, server)

    def _pass_on(self, client, server):
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        with self.lock:
            self.open.add(pair)
        for lane, source, sink in ((self.lanes[THERE], client, server), (self.lanes[BACK], server, client)):
            threading.Thread(target=self._pump, args=(pair, lane, source, sink), daemon=True).start()

    def _pump(self, pair, lane, source, sink):
        """Whoever ends its side is heard on the other one, behind all that it said; late like everything else."""
        try:
            while data := source.recv(65536):
                if lane.loses:
                    with self.lock:
                        self.robbed.add(pair)
                    continue
                lane.flows.wait()
                if lane.delay:
                    self.closing.wait(lane.delay)
                sink.sendall(data)
        except OSError:
            pass
        lane.flows.wait()
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        self._half_ended(pair)

    def _half_ended(self, pair):
        """The second half to end closes both."""
        with self.lock:
            if pair not in self.halves:
                self.halves.add(pair)
                return
            for pairs in (self.halves, self.open, self.robbed):
                pairs.discard(pair)
        for end in pair:
            end.close()
