"""The answers of the API as TypeScript, written to frontend/src/api/answers.ts: python -m pixelproof.web.typescript.

A test compares that file with what this module makes of the API, so that pages and server cannot drift apart.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelproof.atomic import write_whole
from pixelproof.views import paths
from pixelproof.web.app import api
from pixelproof.web.library import Library
from pixelproof.web.state import AppState

TARGET = Path(__file__).parents[3] / "frontend" / "src" / "api" / "answers.ts"
HEAD = "// Made by `python -m pixelproof.web.typescript` from the answers of src/pixelproof/views; do not edit.\n"
PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def typescript() -> str:
    """Every model of the API as an exported interface, and every path with the type of its answer."""
    found = api(AppState(Library([]))).openapi()
    models = {name: schema for name, schema in found["components"]["schemas"].items() if "Validation" not in name}
    sent = asked(found["paths"])
    parts = [HEAD, *(interface(name, schema, whole=name not in sent) for name, schema in sorted(models.items()))]
    return "\n".join([*parts, addresses(), answers_by_path(found["paths"])])


def addresses() -> str:
    """The addresses of the table of pages, with their places in braces, by the names that views/paths.py gives them."""
    named = {name: value for name, value in vars(paths).items() if name.isupper()}
    rows = [f"  {name}: {json.dumps(value)}," for name, value in named.items()]
    head = "/** Every address under api/; `addressOf` in client.ts fills the places in braces. */"
    return "\n".join([head, "export const PATHS = {", *rows, "} as const;", ""])


def interface(name: str, schema: Mapping[str, Any], *, whole: bool = True) -> str:
    """One model; descriptions become comments. `whole`: no field may be left out, as in all that the server sends."""
    lines = [_comment(schema, ""), f"export interface {name} {{"]
    for key, value in schema["properties"].items():
        mark = "" if whole or key in schema.get("required", ()) else "?"
        lines += [_comment(value, "  "), f"  {key}{mark}: {kind(value)};"]
    return "\n".join(line for line in (*lines, "}", "") if line is not None)


def asked(found: Mapping[str, Any]) -> set[str]:
    """The models that the browser sends: fields with a default may be left out."""
    bodies = (entry.get("requestBody") for methods in found.values() for entry in methods.values())
    return {kind(body["content"]["application/json"]["schema"]) for body in bodies if body}


def kind(schema: Mapping[str, Any]) -> str:
    """The TypeScript type of a JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " | ".join(kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(kind(each) for each in schema['prefixItems'])}]"
        inner = kind(schema["items"])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {kind(values)}>" if isinstance(values, dict) else "Record<string, unknown>"
    return PLAIN.get(str(schema.get("type")), "unknown")


def answers_by_path(found: Mapping[str, Any]) -> str:
    """The answer of every address that gives JSON, as a comment table for the reader."""
    rows = []
    for path, methods in found.items():
        for method, entry in methods.items():
            content = entry["responses"].get("200", {}).get("content", {}).get("application/json")
            answer = kind(content["schema"]) if content else "bytes"
            rows.append(f"// {method.upper():6} {path}  {answer}")
    return "\n".join([*rows, ""])


def _comment(schema: Mapping[str, Any], indent: str) -> str | None:
    text = schema.get("description")
    if not text:
        return None
    lines = str(text).split("\n")
    if len(lines) == 1:
        return f"{indent}/** {text} */"
    return "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"])


if __name__ == "__main__":
    write_whole(TARGET, typescript())
    sys.exit(0)
