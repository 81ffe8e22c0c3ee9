"""Configuration documents, in few words."""


def dicom(port, host="127.0.0.1", attempts=5, retry=1, unaccepted="fail", paused=False, **dicom_keys):
    """A DICOM target. Retries come quickly: a test does not wait 15 minutes."""
    return {"type": "dicom", "dicom": {"host": host, "port": port, **dicom_keys}, "attempts": attempts,
            "retrySeconds": retry, "unaccepted": unaccepted, "paused": paused}


def dicomtls(port, ca, host="127.0.0.1", attempts=2, retry=1, **dicom_keys):
    return {"type": "dicomtls", "dicomtls": {"host": host, "port": port, "ca": str(ca), **dicom_keys},
            "attempts": attempts, "retrySeconds": retry}


def folder(path, exclude=(), attempts=5, retry=1):
    """A folder target; the folder is made, as a mount would be there."""
    path.mkdir(parents=True, exist_ok=True)
    return {"type": "folder", "folder": {"path": str(path), "exclude": list(exclude)}, "attempts": attempts,
            "retrySeconds": retry}


def rule(expression, *targets, **keys):
    return {"rule": expression, **({"targets": list(targets)} if targets else {}), **keys}


def document(targets=None, rules=None, sources=None, quiet=None, **defaults):
    """rules: {name: rule()}; none: everything goes to every target. Without a word about sources and the quiet time, a
    series is decided a second after the end of its association, however slowly this machine takes the images."""
    targets = targets or {}
    if sources is None and quiet is None:
        sources = {"any": {"completion": "open-association"}}
    if rules is None:
        rules = {"everything": rule("True", *targets)}
    return {"defaults": {"quietSeconds": quiet or 1, **defaults}, "sources": sources or {}, "targets": targets,
            "rules": rules}
