"""What the receiver promises to those who send."""
import hashlib
import json
import re
import socket
import struct
import subprocess
import threading
import time

import pydicom
import pytest

from kit import compare, pdu, study
from kit.paths import VARIANT
from kit.ports import free_port
from kit.senders import Exact, Instance, echoscu, send_exactly, storescu
from kit.wait import patient, within

CHECKED = "release" not in VARIANT  # sanitizers cost memory; failpoints are not in what ships
CT = study.CT
JPEG = "1.2.840.10008.1.2.4.50"
HTJ2K = "1.2.840.10008.1.2.4.201"
PRIVATE = "1.3.6.1.4.1.99999.1.2"
KEY = re.compile(r"instances/[0-9a-f]{2}/([0-9.]+)/([0-9.]+)/([0-9.]+)\.([0-9a-f]{16})\.dcm")


def objects(site):
    return sorted((site.store / "instances").rglob("*.dcm"))


def receipts(site, n, seconds=20):
    """Waits until the ledger knows exactly n receipts; their rows."""
    site.ledger_within(seconds, "SELECT count(*) FROM receipts", n)
    return site.query("SELECT * FROM receipts ORDER BY received_at, receipt")


def encapsulated(ds):
    """Dataset bytes of a compressed instance: two fragments whose content nobody here looks at."""
    del ds.PixelData
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(buffer, ds)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 6) + b"\xff\xd8abc\0"
    return buffer.getvalue() + b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" \
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0) + item + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def rejection(port, **titles):
    """(result, source, reason) of an association that is refused."""
    with pdu.Sender.to(port) as s:
        with pytest.raises(pdu.Unexpected) as told:
            s.associate([(pdu.VERIFICATION, [pdu.IMPLICIT])], **titles)
        assert told.value.kind == pdu.ASSOCIATE_RJ
        return tuple(told.value.body[1:4])


def associated(port, sop_class=CT, syntax=pdu.EXPLICIT, **titles):
    s = pdu.Sender.to(port)
    assert s.associate([(sop_class, [syntax]), (pdu.VERIFICATION, [pdu.IMPLICIT])], **titles) == {
        1: syntax, 3: pdu.IMPLICIT}
    return s


# ---- C-ECHO, C-STORE -------------------------------------------------------------------------

def test_an_echo_is_answered_whatever_the_titles_are(site):
    site.start("receiver")
    for calling, called in (("A", "B"), ("MODALITY-1234567", "XYZ"), ("ct 1", "anything"), ("*", "?")):
        assert echoscu(site.dicom, calling, called).code == 0


def test_an_instance_is_stored_whole_and_announced(site, tmp_folder):
    site.start("receiver", "bookkeeper")
    path, = study.study(tmp_folder, seed=1, slices=1)
    assert send_exactly(site.dicom, [path], calling="CT-ONE", called="ARCHIVE") == [0]

    stored, = objects(site)
    sent = pydicom.dcmread(path)
    got = pydicom.dcmread(stored)
    meta, at = compare.split(stored.read_bytes())
    private = json.loads(meta[(2, 0x0102)].rstrip(b"\0 "))
    assert got == sent
    assert got.file_meta.FileMetaInformationGroupLength == at - 132 - 12
    assert compare.dataset(stored) == compare.dataset(path)
    assert compare.identity(stored) == compare.identity(path)
    key = str(stored.relative_to(site.store))
    receipt = KEY.fullmatch(key).groups()[3]
    assert KEY.fullmatch(key).groups()[:3] == (sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
    assert key.split("/")[1] == hashlib.sha256(sent.StudyInstanceUID.encode()).hexdigest()[:2]
    assert (meta[(2, 0x0017)].strip(), meta[(2, 0x0018)].strip()) == (b"CT-ONE", b"ARCHIVE")
    assert private["receipt"] == receipt
    assert private["sha256"] == hashlib.sha256(compare.dataset(path)).hexdigest()
    assert private["peer"] == "127.0.0.1"

    row, = receipts(site, 1)
    assert (row["receipt"], row["object_key"]) == (receipt, key)
    assert (row["size"], row["sha256"]) == (stored.stat().st_size, private["sha256"])
    assert (row["study"], row["series"], row["sop"]) == (
        sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
    assert (row["sop_class"], row["syntax"]) == (CT, pdu.EXPLICIT)
    assert (row["calling_ae"], row["called_ae"], row["peer"]) == ("CT-ONE", "ARCHIVE", "127.0.0.1")
    tags = row["tags"]
    assert (tags["SenderAET"], tags["ReceiverAET"], tags["SenderAddress"]) == ("CT-ONE", "ARCHIVE", "127.0.0.1")
    assert (tags["Modality"], tags["Rows"], tags["TransferSyntaxUID"]) == ("CT", "64", pdu.EXPLICIT)
    assert tags["ImageType"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert not row["flags"]
    assert not list((site.store / "outbox").glob("*"))


def test_every_way_of_sending_leaves_the_same_bytes(site, tmp_folder):
    """Fragments of every size, implicit VR, a large object that goes to the disk while it arrives."""
    site.start("receiver", streamBytes=65536)
    explicit = study.study(tmp_folder / "e", seed=1, slices=3)
    implicit = study.study(tmp_folder / "i", seed=2, slices=2, syntax=pdu.IMPLICIT)
    large = study.study(tmp_folder / "l", seed=3, slices=2, rows=700, columns=700)
    for paths, size in ((explicit[:1], 20), (explicit[1:], 131000), (implicit, 777), (large, 131000)):
        association = Exact(site.dicom, [Instance(p) for p in paths])
        assert {association.store(Instance(p), size) for p in paths} == {0}
        association.release()
    assert site.stored() == sorted(map(compare.identity, explicit + implicit + large))
    assert all(pydicom.dcmread(p) for p in objects(site))
    assert not list((site.store / "parts").glob("*"))


def test_a_resend_is_a_receipt_of_its_own(site, tmp_folder):
    site.start("receiver", "bookkeeper")
    paths = study.study(tmp_folder, seed=4, slices=2)
    for _ in range(3):
        assert send_exactly(site.dicom, paths) == [0, 0]
    rows = receipts(site, 6)
    assert len({r["sop"] for r in rows}) == 2 and len({r["object_key"] for r in rows}) == 6
    assert len(objects(site)) == 6


def test_every_instance_sent_is_a_receipt_in_the_ledger(site, tmp_folder):
    site.start("receiver", "bookkeeper")
    paths = study.save(tmp_folder, study.demo(seed=6, slices=20))
    site.storescu(paths).ok()
    rows = receipts(site, len(paths))
    assert {r["sop"] for r in rows} == {compare.identity(p)[0] for p in paths}
    assert {r["object_key"] for r in rows} == {str(p.relative_to(site.store)) for p in objects(site)}


def test_the_end_of_an_association_is_testified_with_its_counts(site):
    site.start("receiver", "bookkeeper")
    ended = {"RELEASED": lambda s: s.release(), "ABORTED": lambda s: s.abort(), "LOST": lambda s: s.close()}
    for n, (calling, end) in enumerate(ended.items()):
        s = associated(site.dicom, calling=calling)
        for number in (1, 2, 3):
            ds = study.instance(seed=n, number=number, series=study.uid(n, "series", number % 2))
            assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds), number) == 0
        end(s)
    receipts(site, 9)
    site.ledger_within(20, "SELECT count(*) FROM associations WHERE outcome IS NOT NULL", 6)
    rows = site.query("SELECT DISTINCT r.calling_ae, a.series, a.outcome, a.answered FROM associations a "
                      "JOIN receipts r ON r.association = a.association AND r.series = a.series")
    told = {}
    for r in rows:
        told.setdefault((r["calling_ae"], r["outcome"]), []).append(r["answered"])
    assert {k: sorted(v) for k, v in told.items()} == {(c, c.lower()): [1, 2] for c in ended}


def test_two_senders_at_once_lose_nothing(site, tmp_folder):
    site.start("receiver", "bookkeeper")
    folders = [study.study(tmp_folder / str(n), seed=20 + n, slices=15) for n in range(4)]
    codes = {}

    def send(n):
        codes[n] = (site.storescu if n % 2 else site.dcmsend)(folders[n]).code

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes == {0: 0, 1: 0, 2: 0, 3: 0}
    assert site.stored() == sorted(compare.identity(p) for f in folders for p in f)
    receipts(site, 60)


# ---- values ----------------------------------------------------------------------------------

NAMES = [
    ("ISO_IR 100", "Müller^Jörg"),
    ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 127", "قباني^لنزار"),
]


def test_names_in_every_script_are_read_and_their_bytes_stay(site, tmp_folder):
    site.start("receiver", "bookkeeper")
    paths = study.save(tmp_folder, [
        study.instance(seed=100 + n, number=n, SpecificCharacterSet=charset, PatientName=name)
        for n, (charset, name) in enumerate(NAMES)])
    assert set(send_exactly(site.dicom, paths)) == {0}
    rows = {r["sop"]: r for r in receipts(site, len(NAMES))}
    for path, (charset, name) in zip(paths, NAMES):
        row = rows[compare.identity(path)[0]]
        assert (row["tags"]["PatientName"], row["flags"] or "") == (name, ""), charset
    assert site.stored() == compare.identities(tmp_folder)


def test_a_source_names_the_character_set_of_datasets_that_do_not(site):
    site.start("receiver", "bookkeeper", "gateway")
    site.apply({"sources": {"old": {"callingAes": ["OLD"], "charset": "ISO_IR 100"}, "any": {}}})
    for calling in ("OLD", "NEW"):
        ds = study.instance(seed=8, study=study.uid(calling))
        del ds.SpecificCharacterSet
        ds.PatientName = b"M\xfcller^J\xf6rg".decode("latin-1")
        ds.SpecificCharacterSet = "ISO_IR 100"
        raw = dataset_bytes(ds).replace(b"\x08\0\x05\0CS\x0a\0ISO_IR 100", b"")
        with associated(site.dicom, calling=calling) as s:
            assert s.store(1, CT, ds.SOPInstanceUID, raw) == 0
    told = {r["calling_ae"]: r for r in receipts(site, 2)}
    assert told["OLD"]["tags"]["PatientName"] == "Müller^Jörg"
    assert told["NEW"]["flags"] == "charset" and "\ufffd" in told["NEW"]["tags"]["PatientName"]


def dataset_bytes(ds, implicit=False):
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    pydicom.filewriter.write_dataset(buffer, pydicom.Dataset(ds))
    return buffer.getvalue()


def test_quotes_and_line_ends_in_values_are_unharmed(site):
    site.start("receiver", "bookkeeper")
    nasty = "a \"quoted\" 'value'; {json: [\\u0000]}\r\nsecond line\ttab"
    ds = study.instance(seed=9, ImageComments=nasty, StudyDescription="'; DROP TABLE receipts; --",
                        SeriesDescription="<script>alert(1)</script> %s%n $(reboot) `id`")
    with associated(site.dicom) as s:
        assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds)) == 0
        s.release()
    tags = receipts(site, 1)[0]["tags"]
    assert tags["ImageComments"] == nasty
    assert tags["StudyDescription"] == "'; DROP TABLE receipts; --"
    assert tags["SeriesDescription"] == "<script>alert(1)</script> %s%n $(reboot) `id`"


def test_extra_tags_of_a_new_configuration_count_without_a_restart(site):
    site.start("receiver", "bookkeeper", "gateway")
    pid = site.receiver.pid
    wanted = {"OperatorsName": "Nurse^A", "0018,5100": "HFS", "00400275.00400009": "STEP-7"}

    def send(number):
        ds = study.instance(seed=10, number=number, OperatorsName="Nurse^A", PatientPosition="HFS")
        request = pydicom.Dataset()
        request.ScheduledProcedureStepID = "STEP-7"
        ds.RequestAttributesSequence = pydicom.Sequence([request])
        with associated(site.dicom) as s:
            assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds)) == 0
        return ds.SOPInstanceUID

    before = send(1)
    site.apply({"defaults": {"extraTags": list(wanted)}})
    after = send(2)
    tags = {r["sop"]: r["tags"] for r in receipts(site, 2)}
    assert not set(wanted) & set(tags[before])
    assert {k: tags[after].get(k) for k in wanted} == wanted
    assert site.receiver.pid == pid and site.receiver.alive()


# ---- what is taken ---------------------------------------------------------------------------

def test_any_sop_class_and_syntax_is_taken_as_it_is(site):
    site.start("receiver", "bookkeeper")
    sent = {}
    contexts = [(CT, JPEG), (study.MR, HTJ2K), ("1.2.3.4.5.6.7", PRIVATE), (study.SC, "1.2.840.10008.1.2.4.90")]
    with pdu.Sender.to(site.dicom) as s:
        accepted = s.associate([(c, [x]) for c, x in contexts])
        assert accepted == {2 * n + 1: x for n, (_, x) in enumerate(contexts)}
        for n, (sop_class, syntax) in enumerate(contexts):
            ds = study.instance(sop_class, seed=11, number=n)
            sent[ds.SOPInstanceUID] = syntax, encapsulated(ds)
            assert s.store(2 * n + 1, sop_class, ds.SOPInstanceUID, sent[ds.SOPInstanceUID][1]) == 0
        s.release()
    assert site.stored() == sorted((sop, syntax, hashlib.sha256(data).hexdigest())
                                   for sop, (syntax, data) in sent.items())
    assert not any(r["flags"] for r in receipts(site, 4))


def test_a_source_may_take_uncompressed_images_only(site):
    site.start("receiver", "gateway")
    site.apply({"sources": {"plain": {"callingAes": ["PLAIN"], "syntaxes": "uncompressed"}, "others": {}}})
    proposed = [(CT, [JPEG]), (CT, [JPEG, pdu.IMPLICIT]), (CT, [pdu.EXPLICIT, JPEG]), (pdu.VERIFICATION, [pdu.IMPLICIT])]
    with pdu.Sender.to(site.dicom) as s:
        assert s.associate(proposed, calling="PLAIN") == {3: pdu.IMPLICIT, 5: pdu.EXPLICIT, 7: pdu.IMPLICIT}
        s.release()
    with pdu.Sender.to(site.dicom) as s:
        assert s.associate(proposed, calling="OTHER") == {
            1: JPEG, 3: JPEG, 5: pdu.EXPLICIT, 7: pdu.IMPLICIT}
        s.release()


def test_services_that_are_not_served_are_refused_one_by_one(site):
    site.start("receiver")
    with pdu.Sender.to(site.dicom) as s:
        find, mwl, mpps, commitment = ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.31",
                                       "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.20.1")
        s.send(pdu.associate_rq([(x, [pdu.IMPLICIT]) for x in (find, mwl, mpps, commitment, CT)]))
        kind, body = s.receive()
        assert kind == pdu.ASSOCIATE_AC
        answers = {d[0]: d[2] for k, d in pdu.items_of(body[68:]) if k == 0x21}
        assert answers == {1: 3, 3: 3, 5: 3, 7: 3, 9: 0}
        ds = study.instance(seed=12)
        assert s.store(9, CT, ds.SOPInstanceUID, dataset_bytes(ds, implicit=True)) == 0
        s.release()


def test_the_sources_table_says_who_may_send(site):
    site.start("receiver", "bookkeeper", "gateway")
    site.apply({"sources": {
        "blocked": {"callingAes": ["BAD*"], "accept": False},
        "elsewhere": {"callingAes": ["FAR"], "addresses": ["10.0.0.0/8", "2001:db8::/32"]},
        "ct": {"callingAes": ["CT-*"], "calledAes": ["TALARIA"], "addresses": ["127.0.0.0/8"], "label": "Scanner"},
    }})
    permanent, user = 1, 1
    assert rejection(site.dicom, calling="NOBODY", called="TALARIA") == (permanent, user, 3)
    assert rejection(site.dicom, calling="CT-1", called="OTHER") == (permanent, user, 7)
    assert rejection(site.dicom, calling="FAR", called="TALARIA")[:2] == (permanent, user)
    assert rejection(site.dicom, calling="BADGUY", called="TALARIA")[:2] == (permanent, user)
    ds = study.instance(seed=13)
    with associated(site.dicom, calling="CT-1", called="TALARIA") as s:
        assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds)) == 0
        s.release()
    assert receipts(site, 1)[0]["source"] == "ct"
    assert site.receiver.metric("talaria_association_rejects_total", reason="called-ae") == 1


# ---- TLS -------------------------------------------------------------------------------------

def make_certificates(folder):
    """A CA, a server's and a client's certificate, and a client's of another CA."""
    folder.mkdir()

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", "2", "-out", f"{name}.pem")
    return folder


def test_the_tls_listener_takes_only_who_brings_a_certificate(site, tmp_folder):
    keys = make_certificates(tmp_folder / "keys")
    tls = free_port()
    site.service("receiver", port=0, tlsPort=tls, tlsCertificate=keys / "server.pem", tlsKey=keys / "server.key",
                 tlsCa=keys / "ca.pem").start().ready()
    paths = study.study(tmp_folder / "sent", seed=14, slices=2)
    trust = ["--add-cert-file", keys / "ca.pem"]

    def as_(name):
        return ["--enable-tls", keys / f"{name}.key", keys / f"{name}.pem", *trust]

    assert storescu(tls, paths).code != 0, "a plain association was taken"
    assert storescu(tls, paths, options=["--anonymous-tls", *trust]).code != 0, "no client certificate"
    assert storescu(tls, paths, options=as_("stranger")).code != 0, "a certificate of another authority"
    assert objects(site) == []
    storescu(tls, paths, options=as_("client")).ok()
    assert site.stored() == compare.identities(tmp_folder / "sent")


def test_a_source_is_known_by_its_certificate(site, tmp_folder):
    keys = make_certificates(tmp_folder / "keys")
    tls = free_port()
    site.service("receiver", tlsPort=tls, tlsCertificate=keys / "server.pem", tlsKey=keys / "server.key",
                 tlsCa=keys / "ca.pem").start().ready()
    site.start("gateway")
    site.apply({"sources": {"known": {"certificates": ["client"]}}})
    options = ["--enable-tls", keys / "client.key", keys / "client.pem", "--add-cert-file", keys / "ca.pem"]
    assert echoscu(tls, options=options).code == 0
    assert rejection(site.dicom)[:2] == (1, 1)


# ---- one peer never delays another -----------------------------------------------------------

def took(fn):
    started = time.monotonic()
    assert fn()
    return time.monotonic() - started


def test_five_hundred_idle_associations_cost_little(site):
    site.start("receiver", associations=600, associationsPerPeer=600, drainSeconds=1)
    idle = [associated(site.dicom) for _ in range(500)]
    silent = socket.create_connection(("127.0.0.1", site.dicom))
    assert site.receiver.metric("talaria_associations_active") == 501
    assert min(took(lambda: echoscu(site.dicom).code == 0) for _ in range(3)) <= patient(0.5)
    if not CHECKED:
        assert site.receiver.rss() <= 128 << 20
    assert all(s.echo(3) == 0 for s in idle[::50])
    for s in (*idle, silent):
        s.close()
    within(10, lambda: site.receiver.metric("talaria_associations_active") == 0)


def test_associations_beyond_the_limit_are_rejected_as_transient(site):
    site.start("receiver", associations=3, associationsPerPeer=3, drainSeconds=1)
    held = [associated(site.dicom) for _ in range(3)]
    transient, presentation, local_limit = 2, 3, 2
    assert rejection(site.dicom) == (transient, presentation, local_limit)
    assert all(s.echo(3) == 0 for s in held)
    held.pop().release()
    within(5, lambda: echoscu(site.dicom).code == 0, what="a place is free again")
    for s in held:
        s.close()


def test_one_address_cannot_take_every_place(site):
    site.start("receiver", associations=5, associationsPerPeer=2, bind="0.0.0.0", drainSeconds=1)
    held = [associated(site.dicom) for _ in range(2)]
    assert rejection(site.dicom) == (2, 3, 2)
    other = socket.create_connection(("127.0.0.1", site.dicom), source_address=("127.0.0.2", 0))
    with pdu.Sender(other) as s:
        assert s.associate([(pdu.VERIFICATION, [pdu.IMPLICIT])]) == {1: pdu.IMPLICIT}
        s.release()
    for s in held:
        s.close()


def test_slow_and_silent_peers_delay_nobody(site, tmp_folder):
    site.start("receiver", drainSeconds=1)
    ds = study.instance(seed=15)
    command = pdu.message(1, pdu.store_rq(CT, ds.SOPInstanceUID))
    slow = []
    for _ in range(20):
        slow.append(socket.create_connection(("127.0.0.1", site.dicom)))  # says nothing
        s = associated(site.dicom)
        s.send(command + pdu.pdu(pdu.DATA, pdu.fragment(1, dataset_bytes(ds)[:1000], False, False))[:700])
        slow.append(s)  # stops in the middle of a PDU
    paths = study.study(tmp_folder, seed=16, slices=5)
    assert took(lambda: send_exactly(site.dicom, paths) == [0] * 5) <= patient(2)
    assert min(took(lambda: echoscu(site.dicom).code == 0) for _ in range(3)) <= patient(0.5)
    for s in slow:
        s.close()
    assert site.stored() == compare.identities(tmp_folder)


def gone(s):
    """How the receiver ended this connection: "abort" or "closed"."""
    try:
        kind, _ = s.receive()
        assert kind == pdu.ABORT
        return "abort"
    except pdu.Closed:
        return "closed"


def test_whoever_is_too_slow_is_cut_off_and_leaves_nothing(site):
    site.start("receiver", negotiateSeconds=1, idleSeconds=1, messageSeconds=2, streamBytes=65536)
    silent = pdu.Sender.to(site.dicom)
    idle = associated(site.dicom)
    stuck = associated(site.dicom)
    big = bytes(dataset_bytes(study.instance(seed=17, rows=512, columns=512)))
    stuck.send(pdu.message(1, pdu.store_rq(CT, "1.2.3"), big)[:200000])
    started = time.monotonic()
    assert gone(silent) in ("abort", "closed")
    assert gone(idle) == "abort"
    assert gone(stuck) == "abort"
    assert time.monotonic() - started < patient(6)
    within(5, lambda: site.receiver.metric("talaria_associations_active") == 0)
    assert objects(site) == [] and not list((site.store / "parts").glob("*"))


# ---- no resources ----------------------------------------------------------------------------

def test_a_used_up_budget_is_answered_a700_and_heals(site):
    site.start("receiver", memoryBytes=1 << 20, streamBytes=1 << 30)
    large, small = study.instance(seed=18, rows=800, columns=800), study.instance(seed=18, number=2)
    with associated(site.dicom) as s:
        assert s.store(1, CT, large.SOPInstanceUID, dataset_bytes(large)) == 0xA700
        assert s.store(1, CT, small.SOPInstanceUID, dataset_bytes(small), 2) == 0
        s.release()
    assert [p.name.split(".dcm")[0].rsplit(".", 1)[0] for p in objects(site)] == [small.SOPInstanceUID]


def test_many_large_objects_at_once_need_little_memory(site):
    """Objects that go to the disk while they arrive hold no share of the budget."""
    site.start("receiver", memoryBytes=1 << 20, streamBytes=1 << 18)
    instances = [study.instance(seed=19, number=n, rows=512, columns=512) for n in range(8)]
    senders = [associated(site.dicom) for _ in instances]
    halves = []
    for s, ds in zip(senders, instances):
        message = pdu.message(1, pdu.store_rq(CT, ds.SOPInstanceUID), dataset_bytes(ds))
        s.send(message[:400000])
        halves.append(message[400000:])
        within(5, lambda n=len(halves): len(list((site.store / "parts").glob("*"))) == n)
    for s, rest in zip(senders, halves):
        s.send(rest)
        assert pdu.us(s.receive_message()[1], 0x0900) == 0
        s.release()
    assert len(objects(site)) == 8


@pytest.mark.skipif(not CHECKED, reason="no failpoints")
@pytest.mark.parametrize("place", ["objstore.write", "objstore.fsync", "objstore.dirsync"])
def test_a_failing_disk_is_answered_a700_then_refused_then_heals(site, place):
    receiver = site.service("receiver")
    receiver.start(failpoints={place: "errno:28"}).ready()
    ds = study.instance(seed=21)
    with associated(site.dicom) as s:
        assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds)) == 0xA700
    assert objects(site) == []
    transient, presentation, congestion = 2, 3, 1
    assert rejection(site.dicom) == (transient, presentation, congestion)
    receiver.restart()
    receiver.ready()
    with associated(site.dicom) as s:
        assert s.store(1, CT, ds.SOPInstanceUID, dataset_bytes(ds)) == 0
        s.release()
    assert len(objects(site)) == 1


def test_a_store_below_its_reserve_rejects_as_transient(site):
    site.service("receiver", reserveBytes=1 << 50).start()
    within(20, lambda: site.receiver.get("/healthz")[0] == 200)
    within(20, lambda: rejection(site.dicom) == (2, 3, 1))
    assert site.receiver.get("/readyz")[0] == 503


# ---- the end ---------------------------------------------------------------------------------

def test_term_lets_a_running_message_finish(site):
    receiver = site.start("receiver")
    ds = study.instance(seed=22, rows=256, columns=256)
    message = pdu.message(1, pdu.store_rq(CT, ds.SOPInstanceUID), dataset_bytes(ds))
    s = associated(site.dicom)
    s.send(message[:50000])
    receiver.signal(15)
    within(10, lambda: socket.socket().connect_ex(("127.0.0.1", site.dicom)) != 0, what="listener closed")
    s.send(message[50000:])
    assert pdu.us(s.receive_message()[1], 0x0900) == 0
    s.release()
    assert receiver.wait(10) == 0
    assert len(objects(site)) == 1


def test_term_does_not_wait_for_peers_that_say_nothing(site):
    receiver = site.start("receiver", drainSeconds=1)
    held = [pdu.Sender.to(site.dicom), associated(site.dicom)]
    within(5, lambda: receiver.metric("talaria_associations_active") == 2)
    started = time.monotonic()
    assert receiver.stop() == 0
    assert time.monotonic() - started < patient(6)
    for s in held:
        s.close()
