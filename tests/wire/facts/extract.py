"""What the released clients of each api-version send and read: names only, from their sources.

``python -m tests.wire.facts.extract DIRECTORY`` reads packages that were unpacked below DIRECTORY,
one folder a release (``14.2.0`` for azure-batch of PyPI, ``npm-0.1.0`` for azure-batch of npm), and
writes ``clients.json`` beside this file. ``pip download --no-deps`` and ``npm pack`` fetch them;
the sources are parsed and never run.

The file has, for all versions together, each operation with its success status and the models
that it sends and reads, and each model with its properties. What not all versions have names the
first and the last of those that do, by their place in the list of versions.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

RELEASES: Final = {
    "2015-12-01.2.2": "npm-0.1.0",
    "2016-02-01.3.0": "npm-0.3.0",
    "2016-07-01.3.1": "1.1.0",
    "2017-01-01.4.0": "2.0.0",
    "2017-05-01.5.0": "3.0.0",
    "2017-06-01.5.1": "3.1.0",
    "2017-09-01.6.0": "4.0.0",
    "2018-03-01.6.1": "4.1.3",
    "2018-08-01.7.0": "5.1.1",
    "2018-12-01.8.0": "6.0.0",
    "2019-06-01.9.0": "7.0.0",
    "2019-08-01.10.0": "8.0.0",
    "2020-03-01.11.0": "9.0.0",
    "2020-09-01.12.0": "10.0.0",
    "2021-06-01.14.0": "11.0.0",
    "2022-01-01.15.0": "12.0.0",
    "2022-10-01.16.0": "13.0.0",
    "2023-05-01.17.0": "14.0.0",
    "2023-11-01.18.0": "14.1.0",
    "2024-02-01.19.0": "14.2.0",
    "2024-07-01.20.0": "15.0.0b2",
    "2025-06-01": "15.1.0",
}
"""By api-version, the release that is looked at."""

FILE: Final = Path(__file__).with_name("clients.json")

Models = dict[str, dict[str, str | None]]
"""By model: its properties on the wire, each with the model that it holds, if any."""


@dataclass
class Call:
    """One operation of a client."""

    verb: str
    path: str
    status: int
    request: str | None = None
    response: str | None = None


@dataclass
class Client:
    """What one release knows."""

    calls: list[Call] = field(default_factory=list)
    models: Models = field(default_factory=dict)


def client_of(root: Path) -> Client:
    """Read one unpacked release, whichever generator wrote it."""
    javascript = root / "package/lib"
    if javascript.exists():
        models = _javascript_models(javascript)
        return Client(list(_javascript_calls(javascript, models)), models)
    package = root / "azure/batch"
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(package.glob("models/*.py"))]
    models = {
        node.name: properties
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef) and (properties := _properties(node))
    }
    builders: dict[str, tuple[str, str]] = {}
    calls: list[Call] = []
    for path in [*package.glob("operations/*.py"), *package.glob("_operations/*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("build_"):
                builders[node.name] = _built(node)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                calls.extend(_calls(node, builders, models))
    return Client(calls, models)


def _properties(node: ast.ClassDef) -> dict[str, str | None]:
    """The properties of a model: an ``_attribute_map``, or attributes that are ``rest_field``."""
    found: dict[str, str | None] = {}
    for part in node.body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "_attribute_map":
            for each in ast.literal_eval(part.value).values():
                found[each["key"].replace("\\\\.", ".")] = each["type"]
        elif isinstance(part, ast.AnnAssign) and "rest_field(" in ast.unparse(part):
            assert isinstance(part.value, ast.Call)
            name = next(
                (
                    ast.literal_eval(word.value)
                    for word in part.value.keywords
                    if word.arg == "name"
                ),
                ast.unparse(part.target),
            )
            found[name] = ast.unparse(part.annotation)
    return {name: _model(text) for name, text in found.items()}


def _model(text: str | None) -> str | None:
    """The class in a type such as ``[ResourceFile]`` or ``Optional[list['_models.NameValue']]``."""
    words = re.findall(r"[A-Za-z_]\w*", text or "")
    named = [word for word in words if word[0].isupper()]
    return named[-1] if named else None


def _built(node: ast.FunctionDef) -> tuple[str, str]:
    text = ast.unparse(node)
    verb = re.search(r"method='(\w+)'", text)
    path = re.search(r"_url = '([^']+)'", text)
    assert verb, node.name
    assert path, node.name
    return verb[1], path[1]


def _calls(
    node: ast.ClassDef, builders: dict[str, tuple[str, str]], models: Models
) -> Iterator[Call]:
    addresses: dict[str, str] = {}
    for part in node.body:
        text = ast.unparse(part)
        address = re.match(r"(\w+)\.metadata = \{'url': '([^']+)'\}", text)
        if address:
            addresses[address[1]] = address[2]
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            call = _call(part, builders, addresses, models)
            if call:
                yield call


def _call(
    node: ast.FunctionDef,
    builders: dict[str, tuple[str, str]],
    addresses: dict[str, str],
    models: Models,
) -> Call | None:
    text = ast.unparse(node)
    status = re.search(r"status_code not in \[(\d+)", text)
    if status is None or any(
        ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list
    ):
        return None
    builder = re.search(r"(build_\w+)\(", text)
    if builder:
        verb, path = builders[builder[1]]
        sent = re.search(r"_content = json.dumps\((\w+)", text)
        request = _parameter(node, sent[1]) if sent else None
    else:
        verb_found = re.search(r"_client\.(get|put|post|delete|head|patch)\(", text)
        own = re.search(r"url = '(/[^']+)'", text)
        assert verb_found, node.name
        verb, path = verb_found[1].upper(), own[1] if own else addresses[node.name]
        body = re.search(r"_serialize\.body\(\w+, '(\w+)'", text)
        request = body[1] if body else _wrapped(text)
    return Call(verb, _path(path), int(status[1]), request, _response(text, models))


def _wrapped(text: str) -> str | None:
    """The model that old clients make from the arguments of a call."""
    made = re.search(r"= models\.(\w+(?:Parameter|Parameters))\(", text)
    return made[1] if made else None


def _parameter(node: ast.FunctionDef, name: str) -> str | None:
    for argument in [*node.args.args, *node.args.kwonlyargs]:
        if argument.arg == name and argument.annotation is not None:
            found = re.findall(r"_models\.(\w+)", ast.unparse(argument.annotation))
            return next((name for name in found if name != "_models"), None)
    return None


def _response(text: str, models: Models) -> str | None:
    found = re.search(r"_deserialize\('\[?(\w+)\]?', response\)", text) or re.search(
        r"models\.(\w+)Paged\(", text
    )
    if found is None:
        found = re.search(
            r"_deserialize\((?:[Ll]ist\[)?_models(?:\._models)?\.(?!BatchError\b)(\w+)", text
        )
    if found is None or found[1] == "object":
        return None
    return found[1] if found[1] in models else None


def _path(path: str) -> str:
    """A path with stars for what it leaves open, as the table of operations has it."""
    path = path.replace("(thumbprintAlgorithm={thumbprintAlgorithm},thumbprint={thumbprint})", "/*")
    path = re.sub(r"/files/\{\w+\}", "/files/**", path)
    return "/" + re.sub(r"\{\w+\}", "*", path).strip("/")


def _javascript_models(root: Path) -> Models:
    """Mappers are indented by their generator: properties stand eight columns from the left."""
    models: Models = {}
    for path in sorted(root.glob("models/*.js")):
        name, properties = path.stem[0].upper() + path.stem[1:], {}
        text = path.read_text("utf-8").partition("modelProperties: {")[2]
        for part in re.split(r"\n {8}(?=\w+: \{)", text)[1:]:
            wire = re.search(r"serializedName: '([^']*)'", part)
            held = re.search(r"className: '([^']+)'", part)
            name_on_wire = (
                wire[1].replace("\\\\", "") if wire and wire[1] else part.partition(":")[0]
            )
            properties[name_on_wire] = held[1] if held else None
        if properties:
            models[name] = properties
    return models


def _javascript_calls(root: Path, models: Models) -> Iterator[Call]:
    for path in sorted(root.glob("operations/*.js")):
        text = path.read_text("utf-8")
        for part in re.split(r"\n\w+\.prototype\.", text)[1:]:
            url = re.search(r"requestUrl = this\.client\.baseUri \+\s*'/*([^']*)'", part)
            if url is None:  # the next page of a list
                continue
            verb = re.search(r"httpRequest\.method = '(\w+)'", part)
            status = re.search(r"statusCode !== (\d+)", part)
            assert verb, part[:80]
            assert status, part[:80]
            sent = re.search(r"requestModelMapper = new client\.models\['(\w+)'\]", part)
            read = re.findall(r"resultMapper = new client\.models\['(\w+)'\]", part)
            named = [name for name in read if name != "BatchError"]
            response = named[-1] if named else None
            if response and "odata.nextLink" in models.get(response, ()):
                response = models[response]["value"]
            yield Call(verb[1], _path(url[1]), int(status[1]), sent[1] if sent else None, response)


def _reachable(client: Client) -> Models:
    """The models that some call sends or reads, with all that they hold."""
    found: Models = {}
    waiting = [name for call in client.calls for name in (call.request, call.response) if name]
    while waiting:
        name = waiting.pop()
        properties = client.models.get(name)
        if properties is not None and name not in found:
            found[name] = properties
            waiting.extend(held for held in properties.values() if held)
    return found


def _spans(at: Iterable[int]) -> list[list[int]]:
    """Places in the list of versions as pairs of first and last."""
    spans: list[list[int]] = []
    for place in sorted(at):
        if spans and spans[-1][1] == place - 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return spans


def facts(clients: list[Client]) -> dict[str, Any]:
    """All clients in one document, oldest first."""
    calls: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    models: defaultdict[str, defaultdict[str, defaultdict[str, list[int]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for place, client in enumerate(clients):
        for call in client.calls:
            key = (f"{call.verb} {call.path}", call.status, call.request, call.response)
            calls[key].append(place)
        for name, properties in _reachable(client).items():
            for wire, held in properties.items():
                models[name][wire][held if held in client.models else ""].append(place)
    return {
        "versions": list(RELEASES),
        "operations": [
            [*key, _spans(set(at))]
            for key, at in sorted(calls.items(), key=lambda item: (item[0][0], item[1]))
        ],
        "models": {
            name: {
                wire: [[held, _spans(at)] for held, at in kinds.items()]
                for wire, kinds in sorted(properties.items())
            }
            for name, properties in sorted(models.items())
        },
    }


def main(directory: Path) -> None:
    found = facts([client_of(directory / release) for release in RELEASES.values()])
    lines = ["{", f'"versions": {json.dumps(found["versions"])},', '"operations": [']
    lines.append(",\n".join(json.dumps(row) for row in found["operations"]))
    lines.append('],\n"models": {')
    lines.append(
        ",\n".join(
            f"{json.dumps(name)}: {json.dumps(properties, separators=(',', ':'))}"
            for name, properties in found["models"].items()
        )
    )
    lines.append("}\n}\n")
    FILE.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
