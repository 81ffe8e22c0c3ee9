#!/usr/bin/python3
"""The rules of the tree that a compiler does not check; prints what breaks them, and the lengths of
functions. Usage: lint.py (in the root of the tree). What a rule allows stands in the tables below."""
import pathlib
import re
import statistics
import subprocess
import sys

THINKING = {"base", "log", "metrics", "rows", "dicom", "rules", "event", "config"}
# outside library → who may include it
OWNERS = {
    r"librdkafka/": {"kafka"},
    r"libpq-fe\.h|postgresql/": {"pg"},
    r"dcmtk/": {"dimse"},
    r"jansson\.h": {"gateway", "talaria"},
    r"ulfius\.h|yder\.h|orcania\.h": {"gateway"},
    r"microhttpd\.h": {"gateway", "daemon"},
    r"curl/": {"talaria", "gateway"},
    r"zlib\.h": {"dicom"},
    r"openssl/": {"base", "dimse"},
    r"cmocka\.h": {"testkit"},
}
# Thinking libraries do no I/O; base and log hold the little that everybody stands on.
IO_HEADERS = r"sys/(socket|epoll|stat|uio|wait|sendfile)\.h|netdb\.h|netinet/|poll\.h|dirent\.h|spawn\.h"
MEMORY = r"malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf"
UNSAFE = (r"strcpy|strcat|stpcpy|sprintf|vsprintf|gets|scanf|system|popen|alloca|strtok|mktemp|"
          r"tmpnam|tempnam|gethostbyname|localtime|gmtime|ctime|asctime|inet_ntoa|inet_addr|strerror|rand|srand|"
          r"vfork|longjmp|setjmp")
SLEEPS = r"sleep|usleep|nanosleep|clock_nanosleep|clock_sleep_ms"
# (file, call) that has a reason; the reason stands beside the call
ALLOWED = {
}
UNFINISHED = r"\b(TODO|FIXME|XXX|HACK|WIP)\b|\b(for now|simplified|placeholder|not (yet )?implemented)\b"
LONGEST_FILE, LONGEST_FUNCTION = 800, 120

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def uses():
    table = {}
    for line in pathlib.Path("common/build/libs.mk").read_text().splitlines():
        m = re.match(r"USES_(\w+)\s*:=\s*(.*)", line)
        if m:
            table[m[1]] = set(m[2].split())
    return table


def closure(table, name):
    seen, todo = set(), [name]
    while todo:
        for used in table.get(todo.pop(), ()):
            if used not in seen:
                seen.add(used)
                todo.append(used)
    return seen


def without_comments_and_strings(text):
    """The same lines; comments, strings and characters blanked."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_includes(path, owner, text, table, public):
    tests = "tests" in path.parts
    allowed = {owner} | (closure(table, owner) | {"testkit"} if tests else table.get(owner, set()))
    for n, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if not m:
            continue
        name = m[2]
        first = name.split("/")[0]
        if m[1] == '"' and first in public:
            if first not in allowed:
                problem(path, n, f"{owner} may not include {name} (USES_{owner} in common/build/libs.mk)")
            elif first != owner and name.endswith("_priv.h"):
                problem(path, n, f"{name} is private to {first}")
            continue
        for pattern, owners in OWNERS.items():
            if re.match(pattern, name) and owner not in owners:
                problem(path, n, f"only {', '.join(sorted(owners))} may include <{name}>")
        if owner in THINKING - {"base", "log"} and not tests and re.match(IO_HEADERS, name):
            problem(path, n, f"{owner} is a thinking library and does no I/O, but includes <{name}>")


def check_calls(path, owner, code):
    tests = "tests" in path.parts
    for n, line in enumerate(code.splitlines(), 1):
        for m in re.finditer(r"(?<![\w.>])(?:(?:std)?::)?(\w+)\s*\(", line):
            call = m[1]
            if (str(path), call) in ALLOWED:
                continue
            if re.fullmatch(MEMORY, call) and owner != "base" and not tests:
                problem(path, n, f"{call}(): memory comes from base/mem.h")
            if re.fullmatch(UNSAFE, call) and not (tests and call in ("system", "setjmp", "strerror")):
                problem(path, n, f"{call}() is not used here")
            if tests and not path.name.startswith("bench_") and re.fullmatch(SLEEPS, call):
                problem(path, n, f"{call}() in a test: wait for a condition (testkit_within)")


def function_lengths(path, code):
    start, out = None, []
    for n, line in enumerate(code.splitlines(), 1):
        if line.rstrip() == "{":
            start = n
        elif line.rstrip() == "}" and start:
            out.append((n - start - 1, path, start))
            start = None
    return out


def check_c(files, table):
    public = {p.name for p in pathlib.Path("common").iterdir()} | {p.name for p in pathlib.Path("services").iterdir()}
    lengths = []
    for path in files:
        owner = path.parts[1]
        text = path.read_text(errors="replace")
        code = without_comments_and_strings(text)
        check_includes(path, owner, text, table, public)
        check_calls(path, owner, code)
        if path.suffix in (".c", ".cc"):
            lengths += function_lengths(path, code)
    return lengths


def check_layers(table):
    for name in THINKING:
        for used in closure(table, name) - THINKING:
            problem("common/build/libs.mk", 1, f"{name} is a thinking library but uses {used}")
    for name in table:
        if pathlib.Path("services", name).is_dir():
            for used in table[name]:
                if pathlib.Path("services", used).is_dir():
                    problem("common/build/libs.mk", 1, f"service {name} uses service {used}")


def generated(path):
    with open(path, errors="replace") as f:
        return "generated" in f.read(400).lower()


def check_text(path):
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        return
    if path.suffix in (".c", ".cc", ".h", ".py", ".sh", ".ts", ".tsx") and len(lines) > LONGEST_FILE \
            and not generated(path):
        problem(path, len(lines), f"{len(lines)} lines; at most {LONGEST_FILE}")
    for n, line in enumerate(lines, 1):
        if re.search(UNFINISHED, line) and path.name != "lint.py" and "placeholder=" not in line:
            problem(path, n, f"unfinished: {line.strip()[:80]}")
        if path.suffix == ".py" and re.search(r"\b(time\.)?sleep\(", line) and path.parts[0] == "integration-tests":
            problem(path, n, "a sleep in a test: use within()")


def print_lengths(lengths):
    if not lengths:
        return
    sizes = sorted(n for n, _, _ in lengths)
    over = sum(n > 60 for n in sizes)
    print(f"  lint   {len(sizes)} functions: median {statistics.median(sizes):.0f} lines, p90 "
          f"{sizes[len(sizes) * 9 // 10]}, over 60: {over} ({100 * over / len(sizes):.1f} %)")
    for n, path, line in sorted(lengths, key=lambda x: -x[0]):
        if n > LONGEST_FUNCTION and "tests" not in path.parts:
            problem(path, line, f"a function of {n} lines; at most {LONGEST_FUNCTION}")
        elif n > 60 and "tests" not in path.parts:
            print(f"         {n:4d} lines  {path}:{line}")


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    files = [pathlib.Path(f) for f in listed.stdout.splitlines()] if listed.returncode == 0 else \
        [p for top in ("common", "services", "integration-tests", "deploy", "docs", "schemas")
         for p in pathlib.Path(top).rglob("*")]
    files = [f for f in files if f.is_file() and not f.is_symlink()]
    table = uses()
    check_layers(table)
    sources = [f for f in files if f.parts[0] in ("common", "services") and f.suffix in (".c", ".h", ".cc")]
    lengths = check_c(sources, table)
    for f in files:
        if f.suffix in (".c", ".cc", ".h", ".py", ".sh", ".mk", ".md", ".ts", ".tsx", ".yaml", ".sql", "") and \
                "corpus" not in str(f) and "examples" not in f.parts and f.name != "package-lock.json":
            check_text(f)
    print_lengths(lengths)
    for p in problems:
        print(p)
    print(f"  lint   {len(files)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
