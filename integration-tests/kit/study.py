#!/usr/bin/python3
"""Makes studies of real shape, the same for the same seed.

As a program: study.py FOLDER [--seed N] [--slices N] writes the demo study. In tests: study() and instance().
"""
import argparse
import hashlib
import math
import pathlib
import random

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SC = "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.11"
DX = "1.2.840.10008.5.1.4.1.1.1.1"

# Names in their own scripts, with the character set a modality there sends.
PATIENTS = [
    ("ISO_IR 192", "Papadopoulos^Elena=Παπαδοπούλου^Ελένη"),
    ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO_IR 100", "Müller^Jörg"),
    ("ISO_IR 144", "Люкceмбypг^Роза"),
    ("ISO_IR 192", "Ibn Sina^Ali=ابن سينا^علي"),
]


def uid(*parts):
    """A UID of the 2.25 root computed from its parts."""
    digest = hashlib.sha256("/".join(str(p) for p in parts).encode()).digest()
    return "2.25." + str(int.from_bytes(digest[:15], "big"))


def pixels(rng, rows, columns, phase):
    """16-bit pixels of a soft ring: compresses and looks like an image."""
    line = [int(1000 + 900 * math.sin(2 * math.pi * x / columns + phase)) for x in range(columns)]
    out = bytearray()
    for y in range(rows):
        shift = int(600 * math.sin(math.pi * y / rows)) + rng.randrange(8)
        out += b"".join((v + shift).to_bytes(2, "little") for v in line)
    return bytes(out)


def instance(sop_class=CT, seed=0, study=None, series=None, number=1, modality="CT", rows=64, columns=64,
             syntax=ExplicitVRLittleEndian, **values):
    """One instance. values: further attributes by keyword, or other values for those below."""
    rng = random.Random(f"{seed}/{series}/{number}")
    study = study or uid(seed, "study")
    series = series or uid(seed, "series")
    charset, name = PATIENTS[seed % len(PATIENTS)]
    sop = uid(study, series, "sop", number)

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop
    meta.TransferSyntaxUID = syntax
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    ds.SpecificCharacterSet = charset
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientName, ds.PatientID = name, f"DEMO{seed:05d}"
    ds.PatientBirthDate, ds.PatientSex = f"19{50 + seed % 50}0412", "FM"[seed % 2]
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20260314"
    ds.StudyTime, ds.ContentTime = "101500.000000", f"1015{number % 60:02d}.000000"
    ds.AccessionNumber, ds.StudyID = f"A{seed:07d}", str(seed)
    ds.ReferringPhysicianName = "Who^Doctor"
    ds.StudyDescription = "Demo: thorax and head"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = modality, "Talaria", "Generator"
    ds.StationName, ds.InstitutionName = f"{modality}1", "General Hospital"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    if sop_class != SR:
        image(ds, rng, rows, columns, number)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def image(ds, rng, rows, columns, number):
    ds.Rows, ds.Columns, ds.SamplesPerPixel = rows, columns, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelSpacing, ds.SliceThickness = ["0.78125", "0.78125"], "1.25"
    ds.ImagePositionPatient = ["-200", "-200", str(1.25 * number)]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.WindowCenter, ds.WindowWidth = "1000", "2000"
    ds.PixelData = pixels(rng, rows, columns, number / 7)
    ds["PixelData"].VR = "OW"


def report(ds):
    """The content of a small structured report."""
    def code(value, meaning):
        c = Dataset()
        c.CodeValue, c.CodingSchemeDesignator, c.CodeMeaning = value, "DCM", meaning
        return c

    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = Sequence([code("121071", "Finding")])
    text.TextValue = "No acute finding. Kein akuter Befund."
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = Sequence([code("11528-7", "Radiology Report")])
    ds.ContentSequence = Sequence([text])
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    return ds


def demo(seed=1, slices=20):
    """The demo study: a CT in two series, an MR, a scanned page and a report."""
    study = uid("demo", seed)
    common = dict(seed=seed, study=study)

    def series(number, description, sop_class, modality, count, **values):
        return [instance(sop_class, series=uid("demo", seed, number), number=i, modality=modality,
                         SeriesNumber=number, SeriesDescription=description, **common, **values)
                for i in range(1, count + 1)]

    out = series(1, "Thorax 1.25 mm", CT, "CT", slices, rows=128, columns=128,
                 BodyPartExamined="CHEST", KVP="120", ProtocolName="Thorax routine",
                 ConvolutionKernel="B30f", RescaleIntercept="-1024", RescaleSlope="1")
    out += series(2, "Scout", CT, "CT", 1, BodyPartExamined="CHEST",
                  ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    out += series(3, "T1 axial", MR, "MR", max(1, slices // 2), BodyPartExamined="BRAIN",
                  MagneticFieldStrength="3", EchoTime="12.5", RepetitionTime="600",
                  ScanningSequence="SE", SequenceVariant="NONE", ProtocolName="Head T1")
    out += series(4, "Request form", SC, "OT", 1, ConversionType="SD")
    out += [report(ds) for ds in series(5, "Report", SR, "SR", 1)]
    return out


def study(folder, seed=0, series=1, slices=3, modality="CT", sop_class=CT, **values):
    """Writes a study of equal series; the paths."""
    uids = [uid(seed, "series", s) for s in range(series)]
    return save(folder, [instance(sop_class, seed=seed, study=uid(seed, "study"), series=u, number=i,
                                  modality=modality, SeriesNumber=n + 1, **values)
                         for n, u in enumerate(uids) for i in range(1, slices + 1)])


def save(folder, datasets):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ds in datasets:
        path = folder / f"{ds.Modality}.{ds.SeriesNumber}.{ds.InstanceNumber:05d}.{ds.SOPInstanceUID[-8:]}.dcm"
        ds.save_as(path, write_like_original=False)
        paths.append(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description="Writes the demo study as DICOM files.")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1, help="another seed: another patient and study")
    parser.add_argument("--slices", type=int, default=20, help="of the first series")
    options = parser.parse_args()
    datasets = demo(options.seed, options.slices)
    save(options.folder, datasets)
    print(datasets[0].StudyInstanceUID)


if __name__ == "__main__":
    main()
