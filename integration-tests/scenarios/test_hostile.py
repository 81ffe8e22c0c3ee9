"""Whatever a peer sends: refused with the right answer, or stored and flagged; never a crash, never a path
outside the store, never 0000 without the object. One receiver lives through all of it."""
import hashlib
import random
import re
import socket
import struct
import threading

import pytest

from conftest import make_site
from kit import compare, pdu, study
from kit.wait import within

pytestmark = pytest.mark.xdist_group("hostile")  # they share a site

CT = study.CT
ABORTED, CLOSED, RELEASED = "aborted", "closed", "released"
CANNOT_UNDERSTAND, UNRECOGNISED = 0xC000, 0x0211
KEY = re.compile(r"instances/[0-9a-f]{2}/[0-9.x][0-9a-f.]*/[0-9.x][0-9a-f.]*/[0-9.x][0-9a-f.]*\.[0-9a-f]{16}\.dcm")
SOP = "1.2.826.0.1.9"


class Server:
    """The one receiver, and how many times it has answered 0000."""

    def __init__(self, site):
        self.site, self.port, self.answered = site, site.dicom, 0
        self.receiver = site.receiver
        self.pid = self.receiver.pid

    def keys(self):
        return {str(p.relative_to(self.site.store)) for p in self.site.store.rglob("*") if p.is_file()}

    def connect(self):
        return pdu.Sender.to(self.port)

    def associated(self, syntax=pdu.EXPLICIT):
        """Context 1: CT; 3: verification; 5: CT again."""
        s = self.connect()
        s.associate([(CT, [syntax]), (pdu.VERIFICATION, [pdu.IMPLICIT]), (CT, [syntax])])
        return s

    def store(self, dataset, sop=SOP, syntax=pdu.EXPLICIT, sop_class=CT, size=16384):
        """Sends one instance over an association of its own. (status or ending, key of the new object or None);
        a 0000 without an object that holds these very bytes fails here."""
        before = self.keys()
        with self.associated(syntax) as s:
            s.send(pdu.message(1, pdu.store_rq(sop_class, sop), dataset, size))
            answer = self.ending(s)
        new = self.keys() - before
        if answer == 0:
            assert len(new) == 1, new
            assert compare.dataset(self.site.store / next(iter(new))) == dataset
            return 0, next(iter(new))
        assert not new, f"answered {answer}, yet stored {new}"
        return answer, None

    def ending(self, s):
        """What comes next: the status of an answer, or how the connection ended."""
        try:
            status = pdu.us(s.receive_message()[1], 0x0900)
        except pdu.Closed:
            return CLOSED
        except pdu.Unexpected as e:
            return {pdu.ABORT: ABORTED, pdu.RELEASE_RP: RELEASED}[e.kind]
        self.answered += status == 0
        return status

    def row(self, key):
        """The receipt's row in the ledger."""
        receipt = key.rsplit(".", 2)[1]
        return within(20, lambda: self.site.query("SELECT * FROM receipts WHERE receipt = %s", receipt),
                      what="the receipt in the ledger")[0]

    def flags(self, key):
        return set((self.row(key)["flags"] or "").split(",")) - {""}


@pytest.fixture(scope="module")
def server(kafka, postgres, run_folder, request):
    site = make_site(kafka, postgres, run_folder, request)
    site.create_topics()
    site.start("receiver", negotiateSeconds=5, messageSeconds=20, drainSeconds=1, streamBytes=65536)
    site.start("bookkeeper")
    yield Server(site)
    complaints = site.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(autouse=True)
def unharmed(server):
    yield
    assert server.receiver.alive(), server.receiver.tail(60)
    assert server.receiver.pid == server.pid and not server.receiver.complaint()
    with server.associated() as s:
        assert s.echo(3) == 0
        s.release()
    keys = server.keys()
    assert all(map(KEY.fullmatch, keys)), keys
    outside = [p for p in server.site.folder.parent.glob("*") if p.name in ("x", "passwd")]
    assert not outside
    for key in keys:
        compare.split((server.site.store / key).read_bytes())


# ---- datasets --------------------------------------------------------------------------------

LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT")


def element(group, number, vr, value, length=None):
    """Explicit VR little endian; length: what it claims to be long."""
    if isinstance(value, str):
        value = value.encode()
    n = len(value) if length is None else length
    head = struct.pack("<HH2s", group, number, vr.encode())
    return head + (struct.pack("<xxI", n) if vr in LONG else struct.pack("<H", n & 0xFFFF)) + value


def even(text):
    return text + "\0" * (len(text) % 2)


def uids(study_uid="1.2.826.0.1.1", series="1.2.826.0.1.2", sop=SOP, sop_class=CT):
    """The elements that an instance must have; None leaves one out."""
    return [element(g, e, "UI", even(v) if isinstance(v, str) else v)
            for g, e, v in ((8, 0x16, sop_class), (8, 0x18, sop), (0x20, 0xD, study_uid), (0x20, 0xE, series))
            if v is not None]


PIXELS = element(0x7FE0, 0x10, "OW", b"\1\2" * 100)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def nested(depth, closed=True):
    head = element(0x40, 0x275, "SQ", b"", 0xFFFFFFFF) + ITEM
    return head * depth + ((ITEM_END + SEQUENCE_END) * depth if closed else b"")


def with_extra(extra, at=4):
    """A whole instance with something between its elements: 0 before the ids, 4 behind them."""
    parts = uids()
    return b"".join(parts[:at]) + extra + b"".join(parts[at:]) + PIXELS


MALFORMED = {
    "10,000 nested sequences": nested(10000),
    "10,000 nested sequences, never closed": nested(10000, closed=False),
    "65 levels": nested(65),
    "a length beyond the end": element(0x28, 0x10, "UN", b"ab", 0x7FFFFFFF),
    "the largest length": element(0x28, 0x10, "UN", b"ab", 0xFFFFFFFE),
    "undefined length where it must not be": element(0x28, 0x10, "UT", b"ab", 0xFFFFFFFF),
    "an item outside a sequence": ITEM,
    "half an element head": b"\x28\0\x10",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_elements_are_stored_and_flagged_or_refused(server, name):
    extra = MALFORMED[name]
    status, key = server.store(b"".join(uids()) + extra)
    assert status == 0 and "malformed" in server.flags(key), name
    status, key = server.store(with_extra(extra))
    assert status == 0 and key
    status, _ = server.store(with_extra(extra, at=0))
    assert status in (0, CANNOT_UNDERSTAND), "before the ids they may hide them, no more"


BORNE = {
    "a VR that does not exist": element(0x28, 0x10, "ZZ", b"ab"),
    "lower-case VR": element(0x28, 0x10, "us", b"ab"),
    "an odd length": element(0x28, 0x1050, "DS", b"123"),
    "30 levels": nested(30),
    "trailing padding": element(0xFFFC, 0xFFFC, "OB", b"\0" * 10),
    "a tag twice": element(0x10, 0x10, "PN", b"A^B ") + element(0x10, 0x10, "PN", b"C^D "),
    "unordered tags": element(0x10, 0x20, "LO", b"id") + element(8, 0x60, "CS", b"CT"),
    "a group length": element(0x28, 0, "UL", b"\0\0\0\0"),
    "a value of 60,000 bytes": element(0x10, 0x4000, "UT", b"x" * 60000),
    "binary rubbish in texts": element(0x10, 0x10, "PN", bytes(range(256))),
    "100,000 empty elements": b"".join(element(0x29, n & 0xFFFF, "LO", b"") for n in range(100000)),
}


@pytest.mark.parametrize("name", BORNE)
def test_odd_but_readable_datasets_are_stored_as_they_are(server, name):
    for at in (0, 4):
        status, key = server.store(with_extra(BORNE[name], at))
        assert status == 0
        assert "malformed" not in server.flags(key)
        assert server.row(key)["study"] == "1.2.826.0.1.1"


def test_a_dataset_cut_anywhere_is_refused_or_stored_and_flagged(server):
    whole = with_extra(nested(3) + element(0x10, 0x10, "PN", b"A^B "))
    after_ids = sum(map(len, uids()))
    with server.associated() as s:
        for n, cut in enumerate([*range(0, after_ids, 7), *range(after_ids, len(whole), 29)]):
            before = server.keys()
            s.send(pdu.message(1, pdu.store_rq(CT, SOP, n + 1), whole[:cut]))
            answer, new = server.ending(s), server.keys() - before
            assert answer == (0 if cut >= after_ids else CANNOT_UNDERSTAND), cut
            assert len(new) == (answer == 0)
        s.release()


def test_rubbish_instead_of_a_dataset_is_refused(server):
    rng = random.Random(1)
    for data in (b"", b"\0", b"DICM", b"\0" * 10000, b"\xff" * 10000, b"GET / HTTP/1.0\r\n\r\n",
                 *(rng.randbytes(rng.randrange(1, 5000)) for _ in range(30))):
        for syntax in (pdu.EXPLICIT, pdu.IMPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"):
            assert server.store(data, syntax=syntax)[0] == CANNOT_UNDERSTAND


def test_a_deflate_bomb_needs_neither_memory_nor_time(server):
    import zlib
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)

    def part(plain):
        """Stands for itself, so it may be repeated."""
        return bomb.compress(plain) + bomb.flush(zlib.Z_FULL_FLUSH)
    data = part(b"".join(uids()) + element(0x10, 0x4000, "UT", b"", 0x40000000)) \
        + part(b"\0" * (1 << 20)) * 1024 + bomb.flush()
    status, key = server.store(data, syntax="1.2.840.10008.1.2.1.99")
    assert status == 0 and key
    assert len(data) < 4 << 20


# ---- ids -------------------------------------------------------------------------------------

@pytest.mark.parametrize("missing", [dict(study_uid=None), dict(series=None), dict(study_uid=""), dict(series="  "),
                                     dict(study_uid="\0\0"), dict(study_uid=None, series=None, sop=None)])
def test_without_study_or_series_it_is_refused(server, missing):
    assert server.store(b"".join(uids(**missing)) + PIXELS) == (CANNOT_UNDERSTAND, None)


def test_the_command_fills_a_missing_instance_uid(server):
    data = b"".join(uids(sop=None)) + PIXELS
    status, key = server.store(data, sop="1.2.826.0.1.77")
    assert status == 0 and server.flags(key) == {"sop-missing"}
    assert server.row(key)["sop"] == "1.2.826.0.1.77"
    assert server.store(data, sop="") == (CANNOT_UNDERSTAND, None)


HOSTILE_UIDS = ["../../x", "/etc/passwd", "..", ".", "1.2/../../../x", "1.2\\..\\x", "1.2 3", "1.2\n3", "1" * 65, "1." * 60,
                "%2e%2e%2fx", "~root", "$(id)", "1.2\x7f", "\xe4\xf6", "-rf", "x'; --"]


@pytest.mark.parametrize("uid", HOSTILE_UIDS, ids=repr)
def test_hostile_uids_are_hashed_and_flagged(server, uid):
    raw = uid.encode("latin-1")
    raw += b"\0" * (len(raw) % 2)
    for which in ("study_uid", "series", "sop"):
        status, key = server.store(b"".join(uids(**{which: raw})) + PIXELS)
        assert status == 0 and "uid-unsafe" in server.flags(key)
        assert re.search(r"/x[0-9a-f]{32}[/.]", key)


def test_uids_of_64_characters_are_fine(server):
    longest = "1." + "9" * 62
    status, key = server.store(b"".join(uids(longest, longest, longest)) + PIXELS, sop=longest)
    assert status == 0 and server.flags(key) == set() and key.count(longest) == 3


def test_a_nul_inside_a_uid_does_not_make_it_another(server):
    """What stands before the NUL is another study's UID; that study must not get this instance."""
    status, key = server.store(b"".join(uids(study_uid=b"1.2.826.0.1.1\0./x")) + PIXELS)
    if status == 0:
        assert "uid-unsafe" in server.flags(key) and server.row(key)["study"] != "1.2.826.0.1.1"
    else:
        assert status == CANNOT_UNDERSTAND


def test_a_difference_between_command_and_dataset_is_flagged(server):
    data = b"".join(uids()) + PIXELS
    for sop, sop_class in (("1.2.3.4", CT), (SOP, study.MR), ("../../x", CT), ("", CT), ("9" * 64, CT)):
        status, key = server.store(data, sop=sop, sop_class=sop_class)
        assert status == 0 and server.flags(key) == {"uid-differs"}, (sop, sop_class)
        assert (server.row(key)["sop"], server.row(key)["sop_class"]) == (SOP, CT)


# ---- PDVs (the reader that DCMTK gets wrong) -------------------------------------------------

def cut(data, sizes):
    """data in pieces of these sizes, again and again."""
    out, at = [], 0
    while at < len(data):
        n = sizes[len(out) % len(sizes)]
        out.append(data[at:at + n])
        at += n
    return out


def fragments(data, sizes, is_command=False):
    pieces = cut(data, sizes)
    return [pdu.fragment(1, p, is_command, n == len(pieces) - 1) for n, p in enumerate(pieces)]


@pytest.mark.parametrize("sizes", [[100000], [300], [2, 500, 8], [1, 2, 3, 5, 7, 11], [501, 1]], ids=str)
def test_pdvs_of_unequal_length_in_one_pdu(server, sizes):
    data = with_extra(nested(5))
    command = pdu.store_rq(CT, SOP)
    pdvs = fragments(data, sizes)
    whole_command = [pdu.fragment(1, command, True, True)]
    for shape in (
            [whole_command + pdvs],                                  # all in one PDU
            [whole_command, pdvs],                                   # the command apart
            [fragments(command, [7, 30], True) + pdvs],              # the command in pieces, too
            [whole_command + pdvs[:1], pdvs[1:]] if len(pdvs) > 1 else [whole_command, pdvs],
            [[p] for p in whole_command + pdvs],                     # a PDU for each
            [whole_command + pdvs[:-1] + [pdu.fragment(1, pdvs[-1][6:], False, False),
                                          pdu.fragment(1, b"", False, True)]],  # the last one empty
            [whole_command] + [[pdu.fragment(1, b"", False, False)]] * 50 + [pdvs]):  # empty ones before
        before = server.keys()
        with server.associated() as s:
            s.send(b"".join(pdu.pdu(pdu.DATA, b"".join(p)) for p in shape))
            assert server.ending(s) == 0
            s.release()
        new, = server.keys() - before
        assert compare.dataset(server.site.store / new) == data


def p_data(*pdvs):
    return pdu.pdu(pdu.DATA, b"".join(pdvs))


STORE = pdu.store_rq(CT, SOP)
COMMAND = pdu.fragment(1, STORE, True, True)
BROKEN = {
    "a PDV of length 0": p_data(b"\0\0\0\0"),
    "a PDV of length 1": p_data(b"\0\0\0\1\1"),
    "a PDV longer than its PDU": p_data(struct.pack(">IBB", 1000, 1, 3) + b"abc"),
    "a PDV of 4 GB": p_data(struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + b"abc"),
    "bytes behind the last PDV": p_data(COMMAND, b"\0\0\0"),
    "a PDU of 4 GB": struct.pack(">BxI", pdu.DATA, 0xFFFFFFFF) + COMMAND,
    "a PDU above the maximum": struct.pack(">BxI", pdu.DATA, 131073 + 6) + b"\0" * 1000,
    "a PDU type that does not exist": pdu.pdu(0x09, b"abcd"),
    "type 0": b"\0" * 64,
    "an association inside an association": pdu.associate_rq([(CT, [pdu.EXPLICIT])]),
    "an answer without a question": pdu.pdu(pdu.RELEASE_RP, b"\0" * 4),
    "a rejection by the requestor": pdu.pdu(pdu.ASSOCIATE_RJ, b"\0\1\1\1"),
    "a context that was not offered": p_data(pdu.fragment(7, STORE, True, True)),
    "an even context": p_data(pdu.fragment(2, STORE, True, True)),
    "context 0": p_data(pdu.fragment(0, STORE, True, True)),
    "a dataset without a command": p_data(pdu.fragment(1, PIXELS, False, True)),
    "a dataset inside a command": p_data(pdu.fragment(1, STORE[:20], True, False), pdu.fragment(1, PIXELS, False, True)),
    "a command over two contexts": p_data(pdu.fragment(1, STORE[:20], True, False), pdu.fragment(5, STORE[20:], True, True)),
    "a dataset on another context": p_data(COMMAND, pdu.fragment(5, PIXELS, False, True)),
    "a command inside a dataset": p_data(COMMAND, pdu.fragment(1, PIXELS, False, False), COMMAND),
    "an empty command": p_data(pdu.fragment(1, b"", True, True)),
    "rubbish as command": p_data(pdu.fragment(1, b"\xff" * 200, True, True)),
    "a command that claims too much": p_data(pdu.fragment(1, pdu.command({0x0100: 1, 0x0110: 1}) +
                                                          struct.pack("<HHI", 0, 0x1000, 0xFFFF) + b"1.2", True, True)),
    "a command of another group": p_data(pdu.fragment(1, pdu.command({0x0100: 1}) + element(8, 0x18, "UI", "1.2"), True, True)),
    "a command without a kind": p_data(pdu.fragment(1, pdu.command({0x0110: 1, 0x0800: 0x0101}), True, True)),
    "a command of 1 MB": b"".join(p_data(pdu.fragment(1, b"\0" * 60000, True, False)) for _ in range(18)),
    "10,000 nested sequences as command": b"".join(
        p_data(pdu.fragment(1, struct.pack("<HHI", 0, 0x0001, 0xFFFFFFFF) * 5000 + ITEM * 5000, True, False)) for _ in range(4)),
    "a response instead of a request": p_data(pdu.fragment(1, pdu.command(
        {0x0002: CT, 0x0100: 0x8001, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}), True, True)),
    "release inside a dataset": p_data(COMMAND, pdu.fragment(1, PIXELS, False, False)) + pdu.pdu(pdu.RELEASE_RQ, b"\0" * 4),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_protocol_is_aborted(server, name):
    before = server.keys()
    with server.associated() as s:
        s.send(BROKEN[name])
        assert server.ending(s) in (ABORTED, CLOSED)
    assert server.keys() == before


@pytest.mark.parametrize("field, has_dataset", [(0x0020, True), (0x0010, False), (0x0021, True), (0x0140, True),
                                                (0x0130, True), (0x7777, False), (0x7777, True)], ids=str)
def test_an_operation_that_is_not_served_is_answered_and_the_association_lives(server, field, has_dataset):
    with server.associated() as s:
        command = pdu.command({0x0002: CT, 0x0100: field, 0x0110: 9, 0x0800: 1 if has_dataset else 0x0101})
        s.send(pdu.message(1, command, PIXELS if has_dataset else None))
        assert server.ending(s) == UNRECOGNISED
        assert s.echo(3) == 0
        s.release()


def test_a_store_without_a_dataset_is_refused(server):
    with server.associated() as s:
        s.send(pdu.message(1, pdu.store_rq(CT, SOP, has_dataset=False)))
        assert server.ending(s) == CANNOT_UNDERSTAND
        assert s.echo(3) == 0
        s.release()


# ---- A-ASSOCIATE -----------------------------------------------------------------------------

def context(number, abstract=CT, syntaxes=(pdu.EXPLICIT,)):
    return pdu.item(0x20, struct.pack(">Bxxx", number) + pdu.item(0x30, abstract) +
                    b"".join(pdu.item(0x40, s) for s in syntaxes))


def request(items=None, calling="MODALITY", called="TALARIA", version=1, application=pdu.APPLICATION):
    if items is None:
        items = context(1)
    body = struct.pack(">HH", version, 0) + called.encode("latin-1").ljust(16)[:16] + \
        calling.encode("latin-1").ljust(16)[:16] + b"\0" * 32 + pdu.item(0x10, application) + items
    return body + pdu.user_information()


def rq(*arguments, **named):
    return pdu.pdu(pdu.ASSOCIATE_RQ, request(*arguments, **named))


REFUSED = {
    "nothing but zeros": b"\0" * 1000,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + b"\x11" * 500,
    "P-DATA first": p_data(COMMAND),
    "release first": pdu.pdu(pdu.RELEASE_RQ, b"\0" * 4),
    "an empty request": pdu.pdu(pdu.ASSOCIATE_RQ, b""),
    "a request of 67 bytes": pdu.pdu(pdu.ASSOCIATE_RQ, request()[:67]),
    "a request of 4 GB": struct.pack(">BxI", pdu.ASSOCIATE_RQ, 0xFFFFFFFF) + request(),
    "a request of 2 MB": pdu.pdu(pdu.ASSOCIATE_RQ, request() + pdu.item(0x50, b"\0" * 60000) * 35),
    "10,000 contexts": pdu.pdu(pdu.ASSOCIATE_RQ, request(b"".join(context(2 * n % 256 | 1) for n in range(10000)))),
    "an item longer than the request": pdu.pdu(pdu.ASSOCIATE_RQ, request() + struct.pack(">BxH", 0x20, 60000)),
    "a sub-item longer than its item": rq(pdu.item(0x20, struct.pack(">Bxxx", 1) + struct.pack(">BxH", 0x30, 999) + b"1.2")),
    "a context of two bytes": rq(pdu.item(0x20, b"\1\0")),
    "half an item head": pdu.pdu(pdu.ASSOCIATE_RQ, request() + b"\x20"),
    "protocol version 0": rq(version=0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_request_is_refused_at_once(server, name):
    with server.connect() as s:
        try:
            s.send(REFUSED[name])
            kind, _ = s.receive()
            assert kind in (pdu.ABORT, pdu.ASSOCIATE_RJ), kind
        except (pdu.Closed, BrokenPipeError, ConnectionResetError):
            pass


TAKEN = {
    "128 contexts": (rq(b"".join(context(2 * n + 1) for n in range(128))), 128),
    "51 syntaxes": (rq(context(1, CT, [pdu.EXPLICIT] + [f"1.2.3.{n}" for n in range(50)])), 1),
    "unknown items": (pdu.pdu(pdu.ASSOCIATE_RQ, request() + pdu.item(0x77, b"abc")), 1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_strange_but_legal_request_is_taken(server, name):
    bytes_, accepted = TAKEN[name]
    with server.connect() as s:
        s.send(bytes_)
        kind, body = s.receive()
        assert kind == pdu.ASSOCIATE_AC
        assert sum(k == 0x21 and d[2] == 0 for k, d in pdu.items_of(body[68:])) == accepted
        s.release()


SURVIVED = {
    "another application context": rq(application="1.2.3"),
    "1,000 syntaxes": rq(context(1, CT, [pdu.EXPLICIT] + [f"1.2.3.{n}" for n in range(999)])),
    "no context": rq(b""),
    "an even context": rq(context(2)),
    "a context twice": rq(context(1) + context(1)),
    "200 contexts": rq(b"".join(context(2 * n % 256 | 1) for n in range(200))),
    "no syntax": rq(context(1, CT, [])),
    "an empty abstract syntax": rq(context(1, "")),
    "an abstract syntax of 60,000 characters": rq(context(1, "1" * 60000)),
    "a syntax of 60,000 characters": rq(context(1, CT, ["1" * 60000])),
    "titles of control characters": rq(calling="\0\1\2\n", called="\xff\xfe"),
    "blank titles": rq(calling="", called=""),
    "a path as title": rq(calling="../../../x", called="/etc/passwd"),
    "a tiny maximum PDU": pdu.pdu(pdu.ASSOCIATE_RQ, request()[:-len(pdu.user_information())] + pdu.user_information(1)),
    "the largest maximum PDU": pdu.pdu(pdu.ASSOCIATE_RQ, request()[:-len(pdu.user_information())]
                                       + pdu.user_information(0xFFFFFFFF)),
    "user information twice": pdu.pdu(pdu.ASSOCIATE_RQ, request() + pdu.user_information()),
    "a window of 65,535": pdu.pdu(pdu.ASSOCIATE_RQ, request()[:-len(pdu.user_information())]
                                  + pdu.user_information(window=(65535, 65535))),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_an_odd_request_gets_an_answer(server, name):
    with server.connect() as s:
        s.send(SURVIVED[name])
        try:
            kind, body = s.receive()
        except pdu.Closed:
            return
        assert kind in (pdu.ASSOCIATE_AC, pdu.ASSOCIATE_RJ, pdu.ABORT)
        accepted = [d[0] for k, d in pdu.items_of(body[68:]) if k == 0x21 and d[2] == 0] \
            if kind == pdu.ASSOCIATE_AC else []
        if accepted:
            before = server.keys()
            s.send(pdu.message(accepted[0], STORE, with_extra(b"")))
            assert server.ending(s) == 0
            assert len(server.keys() - before) == 1


# ---- connections -----------------------------------------------------------------------------

def reset(s):
    s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@pytest.mark.parametrize("leave", [
    lambda s: s.abort(), reset, lambda s: s.close(), lambda s: s.socket.shutdown(socket.SHUT_WR)],
    ids=["abort", "reset", "close", "half-open"])
@pytest.mark.parametrize("size", [500, 300000], ids=["small", "large"])
def test_whoever_leaves_inside_a_dataset_leaves_nothing(server, leave, size):
    data = with_extra(element(0x10, 0x4000, "UT", b"x" * size))
    command, whole = pdu.pdu(pdu.DATA, COMMAND), pdu.pdu(pdu.DATA, pdu.fragment(1, data[:-1], False, False))
    before = server.keys()
    for n in (len(command), len(command) + len(whole), 20, len(command) + len(whole) // 2):
        s = server.associated()
        s.send((command + whole)[:n])
        leave(s)
        s.close()
    within(10, lambda: server.receiver.metric("talaria_associations_active") == 0)
    assert server.keys() == before


def test_what_comes_after_the_release_is_not_looked_at(server):
    before = server.keys()
    with server.associated() as s:
        s.send(pdu.pdu(pdu.RELEASE_RQ, b"\0" * 4) + pdu.message(1, STORE, with_extra(b"")) + b"\xff" * 5000)
        assert server.ending(s) in (RELEASED, ABORTED, CLOSED)
    within(10, lambda: server.receiver.metric("talaria_associations_active") == 0)
    assert server.keys() == before


def test_a_peer_that_reads_no_answers_is_no_trouble(server):
    with server.associated() as s:
        echo = pdu.message(3, pdu.command({0x0002: pdu.VERIFICATION, 0x0100: pdu.C_ECHO, 0x0110: 1, 0x0800: 0x0101}))
        s.socket.settimeout(2)
        try:
            for _ in range(200):
                s.send(echo * 1000)
        except (TimeoutError, OSError):
            pass
        with server.associated() as other:
            assert other.echo(3) == 0


def test_a_flood_of_connections_hurts_nobody(server):
    rng = random.Random(2)

    def attack(data):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            try:
                s.sendall(data)
            except OSError:
                pass

    noise = [rng.randbytes(rng.randrange(1, 3000)) for _ in range(20)] + [rq(), b"", b"\1", rq()[:100]]
    threads = [threading.Thread(target=lambda n=n: [attack(noise[(n + k) % len(noise)]) for k in range(40)])
               for n in range(8)]
    for t in threads:
        t.start()
    status, key = server.store(with_extra(b""))
    for t in threads:
        t.join()
    assert status == 0 and key
    within(15, lambda: server.receiver.metric("talaria_associations_active") == 0)


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_never_breaks_the_promise(server, seed):
    """Whole sessions with a few bytes changed, cut or doubled; what is answered 0000 is there, byte by byte."""
    rng = random.Random(seed)
    data = with_extra(nested(4) + element(0x10, 0x10, "PN", b"A^B "))
    session = pdu.message(1, STORE, data, 700) + pdu.message(1, pdu.store_rq(CT, SOP, 2), data)
    before = len(server.keys())
    answered = server.answered
    for _ in range(40):
        damaged = bytearray(session)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(damaged))
            how = rng.randrange(3)
            if how == 0:
                damaged[at] = rng.randrange(256)
            elif how == 1:
                del damaged[at:at + rng.randrange(1, 40)]
            else:
                damaged[at:at] = damaged[max(0, at - 20):at]
        with server.associated() as s:
            try:
                s.send(bytes(damaged) + pdu.pdu(pdu.RELEASE_RQ, b"\0" * 4))
                s.socket.shutdown(socket.SHUT_WR)
                while server.ending(s) not in (ABORTED, CLOSED, RELEASED):
                    pass
            except OSError:
                pass
    within(10, lambda: server.receiver.metric("talaria_associations_active") == 0)
    assert len(server.keys()) - before >= server.answered - answered > 0


def test_at_the_end_every_0000_has_its_object_and_its_receipt(server):
    keys = server.keys()
    assert len(keys) >= server.answered > 100
    server.site.ledger_within(30, "SELECT count(*) FROM receipts", len(keys))
    rows = {r["object_key"]: r for r in server.site.query("SELECT object_key, sha256 FROM receipts")}
    assert set(rows) == keys
    for key in keys:
        assert hashlib.sha256(compare.dataset(server.site.store / key)).hexdigest() == rows[key]["sha256"]
    # an answer may get lost on its way to a peer that was cut off, an object may not
    assert server.receiver.metric("talaria_instances_received_total") == len(keys)
