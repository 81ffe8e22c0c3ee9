"""Drives real binaries against a real broker, database and DICOM peers. README.md tells how."""
