#!/usr/bin/env python3
"""Python's own verdict on every line of cases.txt, in an environment like mercure's.

    python3 common/rules/tests/oracle.py                 compare; exits 1 on a difference
    python3 common/rules/tests/oracle.py --fill          write the verdicts that are still empty
    python3 common/rules/tests/oracle.py --random N SEED print N random cases with Python's verdict

A line whose fourth column says why Python differs is not compared. `refused` (our compiler) stands
for any error of Python.
"""
import ast
import json
import math
import os
import random
import re
import sys
import warnings

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(HERE, "cases.txt")


class Missing(Exception):
    pass


class Tags:
    """Attribute: exact, then any case. Item: exact."""

    def __init__(self, values):
        self.__dict__["_values"] = values

    def __getattr__(self, name):
        if name.startswith("__"):
            raise TypeError("not available")
        if name in self._values:
            return self._values[name]
        for key, value in self._values.items():
            if key.lower() == name.lower():
                return value
        raise Missing(name)

    def __getitem__(self, name):
        if not isinstance(name, str):
            raise TypeError("not a name")
        if name not in self._values:
            raise Missing(name)
        return self._values[name]

    def __contains__(self, name):
        return name in self._values

    def __len__(self):
        return len(self._values)


FUNCTIONS = {f.__name__: f for f in (
    float, int, str, len, bool, any, all, min, max, sum, abs, round, sorted, reversed, list, tuple, set,
    frozenset, range, repr, chr, ord, hex, oct, bin, pow, divmod, math.floor, math.ceil, math.trunc,
    math.log, math.atan2, math.isnan, math.isinf, math.factorial, math.sqrt, math.fabs, math.exp,
    math.log10, math.log2, math.sin, math.cos, math.tan, math.asin, math.acos, math.atan)}
FUNCTIONS.update({"pi": math.pi, "e": math.e, "__builtins__": {}})

# what mercure's evaluator (asteval, minimal) refuses
REFUSED = (ast.IfExp, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.JoinedStr,
           ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


def verdict(expression, tags):
    text = re.sub(r"@([^@'\"\n]+)@", r'tags["\1"]', expression)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, REFUSED):
                return "error"
            if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
                return "error"
        value = eval(compile(tree, "rule", "eval"), dict(FUNCTIONS, tags=Tags(tags)))
        return "match" if value else "no-match"
    except Missing:
        return "no-match"
    except RecursionError:
        raise
    except Exception:
        return "error"


def cases():
    standard = {}
    with open(CASES, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("= "):
                standard = json.loads(line[2:])
            if line.startswith("= ") or "\t" not in line:
                yield number, line, None, None, None, None
                continue
            columns = line.split("\t") + [""]
            tags = standard if columns[1] == "-" else json.loads(columns[1])
            yield number, line, columns[0].replace("␤", "\n"), tags, columns[2], columns[3]


def compare():
    total = compared = wrong = 0
    for number, _, expression, tags, want, differs in cases():
        if expression is None:
            continue
        total += 1
        if differs:
            continue
        compared += 1
        got = verdict(expression, tags)
        if got != want and not (got == "error" and want == "refused"):
            wrong += 1
            print(f"cases.txt:{number}: {expression!r}: Python says {got}, the table {want}")
    print(f"{total} cases, {compared} compared with Python, {wrong} differ")
    return 1 if wrong else 0


def fill():
    lines = []
    for _, line, expression, tags, want, _ in cases():
        if expression is not None and want == "":
            line = line.rstrip("\t") + "\t" + verdict(expression, tags)
        lines.append(line)
    with open(CASES, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    return 0


ATOMS = ["tags.Modality", "tags.SeriesDescription", "tags.SliceThickness", "tags.missing", "tags.zero",
         "tags['ImageType']", "@StationName@", "tags.InstitutionName", "'CT'", "'a'", "''", "'T1'", "'ä'",
         "' b '", "'1'", "'-2.50'", "0", "1", "2", "-3", "7", "2.5", "0.0", "-1.5", "1e3", "True", "False",
         "None", "[]", "[1, 2]", "('CT', 'MR')", "['b', 'a']", "{1, 'x'}", "(1,)"]
METHODS = ["lower()", "upper()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "lstrip('CA ')",
           "rstrip('TRM ')", "split()", "split('\\\\')", "split('1', 1)", "isdigit()", "isalpha()", "isalnum()",
           "islower()", "isupper()", "isspace()", "isnumeric()", "zfill(6)", "center(9)", "ljust(4)",
           "partition('T')", "rpartition(' ')", "removeprefix('C')", "removesuffix('T')"]
WITH_ONE = ["startswith", "endswith", "find", "rfind", "index", "count", "join"]
ONE = ["float", "int", "str", "len", "bool", "any", "all", "min", "max", "sum", "abs", "round", "sorted",
       "list", "tuple", "set", "floor", "ceil", "sqrt", "repr"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "&", "|", "^"]
COMPARES = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]


def generate(r, depth):
    if depth <= 0:
        return r.choice(ATOMS)
    g = lambda: generate(r, depth - 1 - r.randrange(2))
    kind = r.randrange(12)
    if kind < 2:
        return f"({g()} {r.choice(COMPARES)} {g()})"
    if kind == 2:
        return f"({g()} {r.choice(['and', 'or'])} {g()})"
    if kind == 3:
        return f"(not {g()})"
    if kind == 4:
        return f"({g()} {r.choice(OPERATORS)} {g()})"
    if kind == 5:
        return f"({g()}).{r.choice(METHODS)}"
    if kind == 6:
        return f"({g()}).{r.choice(WITH_ONE)}({g()})"
    if kind == 7:
        return f"{r.choice(ONE)}({g()})"
    if kind == 8:
        return f"({g()})[{r.choice(['0', '-1', '1:', ':2', '-3:', '::-1', '1:9:2', '5', g()])}]"
    if kind == 9:
        return f"({g()}).replace({g()}, {g()})"
    if kind == 10:
        return f"({g()} {r.choice(COMPARES)} {g()} {r.choice(COMPARES)} {g()})"
    return r.choice(["[{}, {}]", "({}, {})", "max({}, {})", "round({}, {})", "pow({}, {})"]).format(g(), g())


def too_large(expression, tags):
    """Beyond 64 bits or into complex numbers we differ by design; such cases are left out."""
    try:
        tree = ast.parse(re.sub(r"@(\w+)@", r'tags["\1"]', expression), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Pow, ast.Mult)):
                left = ast.unparse(node.left)
                if isinstance(node.op, ast.Mod) and isinstance(
                        eval(left, dict(FUNCTIONS, tags=Tags(tags))), str):
                    return True
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and not isinstance(node, ast.Name):
                try:
                    value = eval(ast.unparse(node), dict(FUNCTIONS, tags=Tags(tags)))
                except Exception:
                    continue
                if isinstance(value, complex) or (isinstance(value, int) and abs(value) >= 2 ** 63):
                    return True
                if isinstance(value, (set, frozenset)) or type(value).__name__ == "list_reverseiterator":
                    return True  # the order of a set is nobody's promise
    except Exception:
        return False
    return False


def print_random(count, seed):
    r = random.Random(seed)
    tags = next(json.loads(line[2:]) for _, line, *_ in cases() if line.startswith("= "))
    print("= " + json.dumps(tags, ensure_ascii=False))
    while count > 0:
        expression = generate(r, 3)
        if not too_large(expression, tags):
            print(f"{expression}\t-\t{verdict(expression, tags)}")
            count -= 1
    return 0


def main():
    if sys.argv[1:2] == ["--fill"]:
        return fill()
    if sys.argv[1:2] == ["--random"]:
        return print_random(int(sys.argv[2]), int(sys.argv[3]))
    return compare()


sys.exit(main())
