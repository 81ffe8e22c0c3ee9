#!/usr/bin/python3
"""compile_commands.json from what `make -Bn` prints: compdb.py < output"""
import json
import os
import shlex
import sys

out = []
for line in sys.stdin:
    words = shlex.split(line) if " -c -o " in line else []
    if words:
        out.append({"directory": os.getcwd(), "file": words[-1], "arguments": words})
json.dump(out, open("compile_commands.json", "w"), indent=1)
print(f"compile_commands.json: {len(out)} files")
