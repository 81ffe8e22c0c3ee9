"""Byte comparison of what was sent with what arrived: the dataset only, the meta is each one's own."""
import hashlib
import pathlib
import struct

LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UC", b"UR", b"UT", b"SV", b"UV"}


def split(data):
    """(meta as {(group, element): bytes}, offset of the dataset) of a Part 10 file."""
    assert data[128:132] == b"DICM", "not a Part 10 file"
    meta, at = {}, 132
    while at + 8 <= len(data) and data[at:at + 2] == b"\x02\x00":
        group, element, vr = struct.unpack("<HH2s", data[at:at + 6])
        if vr in LONG:
            size, head = struct.unpack("<I", data[at + 8:at + 12])[0], 12
        else:
            size, head = struct.unpack("<H", data[at + 6:at + 8])[0], 8
        meta[(group, element)] = data[at + head:at + head + size]
        at += head + size
    return meta, at


def dataset(path):
    """The dataset's bytes."""
    data = pathlib.Path(path).read_bytes()
    return data[split(data)[1]:]


def identity(path):
    """(SOPInstanceUID, transfer syntax, SHA-256 of the dataset bytes)"""
    data = pathlib.Path(path).read_bytes()
    meta, at = split(data)

    def uid(element):
        return meta.get((2, element), b"").rstrip(b"\0 ").decode()

    return uid(0x0003), uid(0x0010), hashlib.sha256(data[at:]).hexdigest()


def identities(folder):
    """The identities of all Part 10 files below a folder, sorted. A file that is being written is skipped."""
    out = []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and path.stat().st_size > 132 and not path.name.startswith("."):
            with open(path, "rb") as f:
                f.seek(128)
                if f.read(4) == b"DICM":
                    out.append(identity(path))
    return sorted(out)
