"""Does an answer keep what schemas/openapi.yaml says? As much of JSON Schema as that file uses."""
import datetime

import yaml

from kit.paths import ROOT

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Document:
    def __init__(self):
        self.root = yaml.safe_load((ROOT / "schemas" / "openapi.yaml").read_text())

    def operations(self):
        """(method, path template, operation)"""
        for path, methods in self.root["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def resolve(self, node):
        while "$ref" in node:
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def check(self, method, template, status, content_type, body):
        """What is wrong with an answer, as sentences."""
        responses = self.root["paths"][template][method.lower()]["responses"]
        if str(status) not in responses:
            return [f"status {status} is not documented"]
        content = self.resolve(responses[str(status)])["content"]
        kind = content_type.partition(";")[0]
        if kind not in content:
            return [f"content type {content_type} is not documented for {status}"]
        schema = content[kind].get("schema")
        return list(self.faults(schema, body, "")) if schema else []

    def faults(self, schema, value, at):
        schema = self.resolve(schema)
        for part in schema.get("allOf", ()):
            yield from self.faults(part, value, at)
        if "const" in schema and value != schema["const"]:
            yield f"{at}: {value!r} is not {schema['const']!r}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is none of {schema['enum']}"
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(map(lambda t: self.is_type(value, t), types)):
            yield f"{at}: {value!r} is not {types}"
        elif isinstance(value, dict):
            yield from self.object_faults(schema, value, at)
        elif isinstance(value, list) and "items" in schema:
            for n, item in enumerate(value):
                yield from self.faults(schema["items"], item, f"{at}/{n}")
        elif isinstance(value, str) and schema.get("format") == "date-time":
            try:
                datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
            except ValueError:
                yield f"{at}: {value!r} is no RFC 3339 time"

    @staticmethod
    def is_type(value, name):
        if name in ("number", "integer"):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number and (name == "number" or isinstance(value, int))
        return isinstance(value, TYPES[name])

    def object_faults(self, schema, value, at):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}: {name} is missing"
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in properties:
                yield from self.faults(properties[name], item, f"{at}/{name}")
            elif more is False:
                yield f"{at}: {name} is not documented"
            elif isinstance(more, dict):
                yield from self.faults(more, item, f"{at}/{name}")
