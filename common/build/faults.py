#!/usr/bin/python3
"""docs/faults.md: every row of its tables names a test, and every test named there exists. Run in the root."""
import pathlib
import re
import sys

PAGE = pathlib.Path("docs/faults.md")
NAME = re.compile(r'`([\w./-]+)::(\w+)(?:\["([^`]+)"\])?`')
TESTS = [p for top in ("common", "services", "integration-tests") for p in pathlib.Path(top).rglob("*")
         if p.suffix in (".py", ".c") and p.is_file()]


def wrong_with(path, function, case):
    """Why this is not a test; None: it is one."""
    found = [p for p in TESTS if f"/{p}".endswith(f"/{path}")]
    named = [p for p in found if holds(p, function)]
    if len(named) != 1:
        return f"{len(found)} files of that name, {len(named)} of them with that test"
    if case and f'"{case}"' not in named[0].read_text():
        return f'no case "{case}"'
    return None


def holds(path, function):
    text = path.read_text(errors="replace")
    if path.suffix == ".py":
        return function.startswith("test_") and re.search(rf"^def {function}\(", text, re.M)
    # defined, and in the table of tests
    return re.search(rf"^static void {function}\(void \*\*", text, re.M) and \
        re.search(rf"\b(\w*unit_test\w*|TEST\w*|WITH_\w+)\({function}\b", text)


def main():
    problems = []
    for n, line in enumerate(PAGE.read_text().splitlines(), 1):
        if not line.startswith("|"):
            continue
        names = NAME.findall(line)
        cells = line.strip("|").split("|")
        if not line.startswith("|---") and cells[-1].strip() != "test" and not names:
            problems.append(f"{PAGE}:{n}: a row without a test")
        problems += [f"{PAGE}:{n}: {path}::{function}: {why}" for path, function, case in names
                     if (why := wrong_with(path, function, case))]
        if line.count("::") != len(names):
            problems.append(f"{PAGE}:{n}: a name that is not `file::function`")
    for p in problems:
        print(p)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
