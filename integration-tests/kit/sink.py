"""A DICOM target whose answers a test scripts: keeps what arrived, refuses, delays, drops, hangs."""
import hashlib
import socket
import struct
import threading

from kit import pdu
from kit.ports import free_port
from kit.wait import within


class Arrived:
    """One C-STORE that came in whole, and how it was answered (None: not at all)."""

    def __init__(self, sop, sop_class, syntax, dataset, calling, called, status):
        self.sop, self.sop_class, self.syntax, self.dataset = sop, sop_class, syntax, dataset
        self.calling, self.called, self.status = calling, called, status

    def identity(self):
        return self.sop, self.syntax, hashlib.sha256(self.dataset).hexdigest()


class Sink:
    """answer(arrived so far, SOP instance UID) says what happens to a C-STORE: an int is the status of the
    answer; (int, seconds) answers late (together: the instances that waited at the same time, at each arrival);
    "twice" answers success twice; "wrong id" answers another message; "abort", "drop" (close without a word),
    "hang" (never answer) and "ignore" (store, then close before the answer: the outcome is unknown to the sender)
    are the accidents. early(SOP instance UID), asked before the dataset was read: True aborts in the middle of it.
    accept(abstract, syntaxes) names the transfer syntax of a context, or None to refuse it. reject: (result, source,
    reason) of every association. slow: reads one byte a second, from "connection" or "association" on. window: the
    asynchronous operations it agrees to; then answers are held until nothing has come for a moment, and given in
    reverse (most_held: how many at once). mute: takes connections and never says a word. tls: an ssl.SSLContext."""

    def __init__(self, answer=None, accept=None, port=None, early=None, reject=None, slow=None, mute=False,
                 tls=None, window=1):
        self.answer = answer or (lambda n, sop: 0)
        self.accept = accept or (lambda abstract, syntaxes: syntaxes[0])
        self.early, self.reject, self.slow, self.mute, self.tls = early, reject, slow, mute, tls
        self.window, self.most_held = window, 0
        self.answering, self.together = set(), []
        self.arrived, self.associations, self.released, self.aborted = [], 0, 0, 0
        self.port = port or free_port()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.open = set()
        self.listener = None

    def start(self):
        self.closing.clear()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        if self.slow:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Refuses connections from now on and cuts the running ones."""
        self.closing.set()
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        with self.lock:
            for connection in self.open:
                connection.socket.close()
        return self

    def identities(self):
        """Of what was answered as a success or warning, each once, sorted."""
        with self.lock:
            return sorted({a.identity() for a in self.arrived
                           if a.status is not None and (a.status == 0 or a.status >> 12 == 0xB)})

    def has(self, n, seconds=30):
        """Waits for n arrivals in all."""
        within(seconds, lambda: len(self.arrived) >= n, what=f"{n} instances at the target")
        return self

    def _accept(self, listener):
        while not self.closing.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self.tls:
                sock.settimeout(20)
                sock = self.tls.wrap_socket(sock, server_side=True)
        except OSError:  # ssl.SSLError is one
            sock.close()
            return
        connection = Scripted(sock, self)
        with self.lock:
            self.open.add(connection)
        try:
            self._association(connection)
        except (OSError, pdu.Closed, struct.error):
            pass  # the sender went away; the test sees it in the counts
        finally:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def _association(self, connection):
        if self.mute:
            self.closing.wait(120)
            return
        connection.slow = self.slow == "connection"
        kind, body = connection.receive()
        if kind != pdu.ASSOCIATE_RQ:
            return
        if self.reject:
            connection.send(pdu.pdu(pdu.ASSOCIATE_RJ, struct.pack(">xBBB", *self.reject)))
            return
        called, calling = (body[4:20].decode().strip(), body[20:36].decode().strip())
        contexts, answers = self._negotiate(body)
        self.associations += 1
        window = {"window": (self.window, 1)} if self.window > 1 else {}
        connection.send(pdu.associate_ac(answers, calling, called, **window))
        connection.slow = bool(self.slow)
        while True:
            try:
                context, fields, dataset = connection.receive_message()
            except Enough:
                self.aborted += 1
                connection.send(pdu.pdu(pdu.ABORT, b"\0\0\0\0"))
                return
            except pdu.Unexpected as e:
                if e.kind == pdu.RELEASE_RQ:
                    self.released += 1
                    connection.send(pdu.pdu(pdu.RELEASE_RP, b"\0" * 4))
                elif e.kind == pdu.ABORT:
                    self.aborted += 1
                return
            if not self._message(connection, context, fields, dataset, contexts, calling, called):
                return

    def _negotiate(self, body):
        contexts, answers = {}, []
        for kind, data in pdu.items_of(body[68:]):
            if kind != 0x20:
                continue
            names = list(pdu.items_of(data[4:]))
            abstract = next(v for k, v in names if k == 0x30).rstrip(b"\0").decode()
            syntaxes = [v.rstrip(b"\0").decode() for k, v in names if k == 0x40]
            chosen = self.accept(abstract, syntaxes)
            answers.append((data[0], 0 if chosen else 3, chosen or syntaxes[0]))
            if chosen:
                contexts[data[0]] = (abstract, chosen)
        return contexts, answers

    def _message(self, connection, context, fields, dataset, contexts, calling, called):
        """False: the association is over."""
        kind, number = pdu.us(fields, 0x0100), pdu.us(fields, 0x0110)
        if kind == pdu.C_ECHO:
            return self._respond(connection, context, kind, number, fields, 0)
        sop, sop_class = pdu.text(fields, 0x1000), pdu.text(fields, 0x0002)
        with self.lock:
            status = self.answer(len(self.arrived), sop)
            said = status[0] if isinstance(status, tuple) else 0 if status == "twice" else status
            self.arrived.append(Arrived(sop, sop_class, contexts[context][1], dataset, calling, called,
                                        said if isinstance(said, int) else None))
        if status == "abort":
            connection.send(pdu.pdu(pdu.ABORT, b"\0\0\0\0"))
        elif status == "hang":
            self.closing.wait(120)
        elif status == "wrong id":
            return self._respond(connection, context, kind, number ^ 0x4000, fields, 0)
        elif status == "twice":
            self._respond(connection, context, kind, number, fields, 0)
            status = 0
        elif isinstance(status, tuple):
            status, seconds = status
            self._late(sop, seconds)
        if not isinstance(status, int):
            return False
        return self._respond(connection, context, kind, number, fields, status)

    def _late(self, sop, seconds):
        with self.lock:
            self.answering.add(sop)
            self.together.append(frozenset(self.answering))
        self.closing.wait(seconds)
        with self.lock:
            self.answering.discard(sop)

    def _respond(self, connection, context, kind, number, fields, status):
        answer = {0x0002: pdu.text(fields, 0x0002), 0x0100: kind | 0x8000, 0x0120: number,
                  0x0800: 0x0101, 0x0900: status}
        if 0x1000 in fields:
            answer[0x1000] = pdu.text(fields, 0x1000)
        message = pdu.message(context, pdu.command(answer))
        if self.window > 1:
            self.most_held = max(self.most_held, connection.hold(message))
        else:
            connection.send(message)
        return True


class Enough(Exception):
    """The sink has read as much of a dataset as it wants."""


class Scripted(pdu.Connection):
    """Reads as its sink says."""

    def __init__(self, sock, sink):
        super().__init__(sock, 120)
        self.sink, self.slow = sink, False
        self.held, self.lock = [], threading.Lock()

    def hold(self, message):
        """Keeps an answer until no other has come for a moment; how many are kept."""
        with self.lock:
            self.held.append(message)
            n = len(self.held)
        threading.Timer(1, self._let_go, (n,)).start()
        return n

    def _let_go(self, n):
        with self.lock:
            if len(self.held) != n:
                return  # more has come
            held, self.held = self.held, []
        try:
            for message in reversed(held):
                self.send(message)
        except OSError:
            pass  # the association has ended

    def _exactly(self, n):
        if not self.slow:
            return super()._exactly(n)
        out = b""
        while len(out) < n:
            if self.sink.closing.wait(1):
                raise pdu.Closed()
            part = self.socket.recv(1)
            if not part:
                raise pdu.Closed()
            out += part
        return out

    def receive(self):
        kind, body = super().receive()
        if kind == pdu.DATA and self.sink.early and body[5] & 1:
            size = struct.unpack(">I", body[:4])[0]
            fields = pdu.parse_command(body[6:4 + size])
            if pdu.us(fields, 0x0100) == pdu.C_STORE and self.sink.early(pdu.text(fields, 0x1000)):
                raise Enough()
        return kind, body
