"""PS3.8 by hand, for peers that no stock tool plays: hostile senders, scripted receivers."""
import socket
import struct

from kit.wait import patient

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = 1, 2, 3, 4, 5, 6, 7
APPLICATION = "1.2.840.10008.3.1.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
C_STORE, C_ECHO = 0x0001, 0x0030


def item(kind, body):
    if isinstance(body, str):
        body = body.encode()
    return struct.pack(">BxH", kind, len(body)) + body


def pdu(kind, body=b""):
    return struct.pack(">BxI", kind, len(body)) + body


def user_information(max_pdu=131072, window=None, extra=b""):
    body = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, "2.25.1")
    if window:
        body += item(0x53, struct.pack(">HH", *window))
    return item(0x50, body + item(0x55, "TESTKIT") + extra)


def associate(kind, calling, called, items):
    return pdu(kind, struct.pack(">HH", 1, 0) + called.encode().ljust(16)[:16] +
               calling.encode().ljust(16)[:16] + b"\0" * 32 + items)


def associate_rq(contexts, calling="MODALITY", called="TALARIA", **information):
    """contexts: [(abstract syntax, [transfer syntaxes])]; their ids are 1, 3, 5 …"""
    items = item(0x10, APPLICATION)
    for n, (abstract, syntaxes) in enumerate(contexts):
        body = struct.pack(">Bxxx", 2 * n + 1) + item(0x30, abstract)
        items += item(0x20, body + b"".join(item(0x40, s) for s in syntaxes))
    return associate(ASSOCIATE_RQ, calling, called, items + user_information(**information))


def associate_ac(answers, calling, called, **information):
    """answers: [(context id, result, transfer syntax)]"""
    items = item(0x10, APPLICATION)
    for context, result, syntax in answers:
        items += item(0x21, struct.pack(">BxBx", context, result) + item(0x40, syntax))
    return associate(ASSOCIATE_AC, calling, called, items + user_information(**information))


def items_of(data):
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack(">BxH", data[at:at + 4])
        yield kind, data[at + 4:at + 4 + size]
        at += 4 + size


def command(fields):
    """A command set: {element of group 0000: int (US) | str (UI or AE)}; the group length is added."""
    body = b""
    for element, value in sorted(fields.items()):
        if isinstance(value, int):
            value = struct.pack("<H", value)
        elif isinstance(value, str):
            value = value.encode()
            value += b"\0" * (len(value) % 2)
        body += struct.pack("<HHI", 0, element, len(value)) + value
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def parse_command(data):
    out, at = {}, 0
    while at + 8 <= len(data):
        _, element, size = struct.unpack("<HHI", data[at:at + 8])
        out[element] = data[at + 8:at + 8 + size]
        at += 8 + size
    return out


def us(fields, element):
    return struct.unpack("<H", fields[element])[0]


def text(fields, element):
    return fields.get(element, b"").rstrip(b"\0 ").decode()


def fragment(context, data, is_command, last):
    return struct.pack(">IBB", len(data) + 2, context, (1 if is_command else 0) | (2 if last else 0)) + data


def message(context, command_set, dataset=None, size=16384):
    """P-DATA PDUs of one message, each fragment in its own PDU of at most size bytes."""
    out = pdu(DATA, fragment(context, command_set, True, True))
    if dataset is not None:
        step = max(1, size - 6)
        for at in range(0, max(1, len(dataset)), step):
            part = dataset[at:at + step]
            out += pdu(DATA, fragment(context, part, False, at + step >= len(dataset)))
    return out


def store_rq(sop_class, sop, number=1, has_dataset=True):
    return command({0x0002: sop_class, 0x0100: C_STORE, 0x0110: number, 0x0700: 0,
                    0x0800: 1 if has_dataset else 0x0101, 0x1000: sop})


class Closed(Exception):
    """The other side closed the connection."""


class Connection:
    """A socket that speaks PDUs. Every wait has a limit."""

    def __init__(self, sock, timeout=patient(10)):
        self.socket = sock
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, port, host="127.0.0.1", timeout=patient(10)):
        return cls(socket.create_connection((host, port), timeout), timeout)

    def send(self, data):
        self.socket.sendall(data)

    def _exactly(self, n):
        out = bytearray()
        while len(out) < n:
            try:
                part = self.socket.recv(n - len(out))
            except ConnectionResetError:
                raise Closed() from None
            if not part:
                raise Closed()
            out += part
        return bytes(out)

    def receive(self):
        """(type, body) of the next PDU."""
        kind, size = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(size)

    def receive_message(self):
        """(context, command fields, dataset or None); other PDUs than P-DATA are an error."""
        parts, context, done = {True: b"", False: b""}, None, set()
        while True:
            kind, body = self.receive()
            if kind != DATA:
                raise Unexpected(kind, body)
            at = 0
            while at + 6 <= len(body):
                size, context, control = struct.unpack(">IBB", body[at:at + 6])
                parts[bool(control & 1)] += body[at + 6:at + 4 + size]
                if control & 2:
                    done.add(bool(control & 1))
                at += 4 + size
            if True in done:
                fields = parse_command(parts[True])
                if us(fields, 0x0800) == 0x0101:
                    return context, fields, None
                if False in done:
                    return context, fields, parts[False]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Unexpected(Exception):
    def __init__(self, kind, body):
        super().__init__(f"PDU type {kind}, {len(body)} bytes")
        self.kind, self.body = kind, body


class Sender(Connection):
    """A small SCU: one association, messages by hand."""

    def associate(self, contexts, **options):
        """Sends A-ASSOCIATE-RQ; the accepted contexts {id: transfer syntax}. A rejection raises Unexpected."""
        self.send(associate_rq(contexts, **options))
        kind, body = self.receive()
        if kind != ASSOCIATE_AC:
            raise Unexpected(kind, body)
        accepted = {}
        for kind, data in items_of(body[68:]):
            if kind == 0x21 and data[2] == 0:
                accepted[data[0]] = dict(items_of(data[4:]))[0x40].rstrip(b"\0").decode()
        return accepted

    def store(self, context, sop_class, sop, dataset, number=1, size=16384):
        """C-STORE; the status of the answer."""
        self.send(message(context, store_rq(sop_class, sop, number), dataset, size))
        return us(self.receive_message()[1], 0x0900)

    def echo(self, context, number=1):
        self.send(message(context, command({0x0002: VERIFICATION, 0x0100: C_ECHO, 0x0110: number,
                                            0x0800: 0x0101})))
        return us(self.receive_message()[1], 0x0900)

    def release(self):
        self.send(pdu(RELEASE_RQ, b"\0" * 4))
        kind, body = self.receive()
        if kind != RELEASE_RP:
            raise Unexpected(kind, body)
        self.close()

    def abort(self):
        self.send(pdu(ABORT, b"\0\0\0\0"))
        self.close()
