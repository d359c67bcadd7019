"""What each task of the quickstart runs; it needs nothing but Python.

analyse.py count CHUNK.zip PART.json     look at every source file in a chunk
analyse.py merge DIRECTORY TOTAL.json    add up the parts of all chunks
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import sys
import tokenize
import zipfile
from collections import Counter
from pathlib import Path

KEPT = 15  # of each list of the longest or the most frequent


def count(chunk: Path) -> dict:
    totals, names, imports, longest = Counter(), Counter(), Counter(), []
    with zipfile.ZipFile(chunk) as sources:
        for name in sources.namelist():
            source = sources.read(name)
            try:
                tree = ast.parse(source)
                tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
            except (SyntaxError, ValueError, tokenize.TokenError) as error:
                print(f"{name}: not Python ({error})", file=sys.stderr)
                totals["not Python"] += 1
                continue
            lines = source.count(b"\n")
            totals.update({"files": 1, "lines": lines, "tokens": len(tokens)})
            names.update(
                token.string
                for token in tokens
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string)
            )
            totals["comments"] += sum(token.type == tokenize.COMMENT for token in tokens)
            imports.update(imported(tree))
            functions = list(functions_of(tree, name))
            totals["functions"] += len(functions)
            totals["classes"] += sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree))
            longest = sorted(longest + functions, reverse=True)[:KEPT]
            print(f"{name}: {lines} lines, {len(functions)} functions")
    return {"totals": totals, "names": names, "imports": imports, "longest": longest}


def imported(tree: ast.AST) -> set[str]:
    """The modules that a file imports, each once."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def functions_of(tree: ast.AST, file: str):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield [node.end_lineno - node.lineno + 1, node.name, f"{file}:{node.lineno}"]


def merge(directory: Path) -> dict:
    total = {"totals": Counter(), "names": Counter(), "imports": Counter(), "longest": []}
    for file in sorted(directory.glob("*.json")):
        part = json.loads(file.read_text("utf-8"))
        for kind in ("totals", "names", "imports"):
            total[kind].update(part[kind])
        total["longest"] = sorted(total["longest"] + part["longest"], reverse=True)[:KEPT]
    total["names"] = dict(total["names"].most_common(KEPT))
    total["imports"] = dict(total["imports"].most_common(KEPT))
    return total


if __name__ == "__main__":
    what, source, target = sys.argv[1:]
    work = {"count": count, "merge": merge}[what]
    Path(target).write_text(json.dumps(work(Path(source))), "utf-8")
