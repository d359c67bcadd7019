"""JSON bodies to specifications, and what is wrong with one to a refusal.

A body is decoded straight into its specification. Only when that fails is it looked at a second
time, as plain JSON, to name the property and show its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from penstock.domain.refusals import (
    InvalidPropertyValue,
    InvalidRequestBody,
    MissingRequiredProperty,
    Refusal,
)
from penstock.domain.specs.common import Spec, decode_spec, encode_spec
from penstock.wire.shown import SECRETS, without_secrets

SpecT = TypeVar("SpecT", bound=Spec)

LONGEST_SHOWN: Final = 256
"""Characters of a wrong value that are shown to the client."""

DEEPEST: Final = 32
"""Objects and lists in each other, in parts that are stored as they come."""

_AT: Final = re.compile(r"(?P<reason>.*?)(?: - at `\$?(?P<path>.*)`)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_BOM: Final = b"\xef\xbb\xbf"


class _Collection(msgspec.Struct, frozen=True):
    value: list[msgspec.Raw]


_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_COLLECTION: Final = msgspec.json.Decoder(_Collection)


def body_of(kind: type[SpecT], document: bytes, *, optional: bool = False) -> SpecT:
    """Decode a body; an `optional` one may be empty. Refuses what does not fit, by name."""
    document = document.removeprefix(_BOM)
    if not document.strip():
        if not optional:
            raise _empty()
        document = b"{}"
    try:
        return decode_spec(kind, document)
    except msgspec.ValidationError as error:
        _refuse(error, document)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequestBody(Reason=str(error)) from None
    except RecursionError:
        raise InvalidRequestBody(Reason="the objects in it are too deep in each other") from None


def items_of(document: bytes) -> Sequence[bytes]:
    """Give the undecoded items of a body such as ``{"value": […]}``."""
    document = document.removeprefix(_BOM)
    if not document.strip():
        raise _empty()
    try:
        return [bytes(item) for item in _COLLECTION.decode(document).value]
    except msgspec.ValidationError as error:
        _refuse(error, document)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequestBody(Reason=str(error)) from None
    except RecursionError:
        raise InvalidRequestBody(Reason="the objects in it are too deep in each other") from None


def _empty() -> InvalidRequestBody:
    return InvalidRequestBody(Reason="the body is empty, and this operation needs a JSON object")


def storable(spec: SpecT) -> SpecT:
    """Refuse a specification whose free parts could not be stored and shown again."""
    try:
        level: list[Any] = [msgspec.json.decode(encode_spec(spec))]
    except (ValueError, OverflowError, RecursionError):
        raise InvalidRequestBody(Reason="it has a number that is too large") from None
    for _ in range(DEEPEST):
        level = [inner for part in level for inner in _inside(part)]
    if level:
        raise InvalidRequestBody(Reason=f"it has more than {DEEPEST} levels")
    return spec


def _inside(part: Any) -> Iterable[Any]:
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, list) else ()


def wrong(name: str, value: object, reason: str) -> InvalidPropertyValue:
    """A property whose value breaks a rule; `name` is its path on the wire."""
    return InvalidPropertyValue(PropertyName=name, PropertyValue=_shown(value), Reason=reason)


def missing(name: str) -> MissingRequiredProperty:
    """A property that must be there."""
    return MissingRequiredProperty(PropertyName=name, Reason="the property is required")


@contextmanager
def below(path: str) -> Iterator[None]:
    """Let what is refused within be named by its path in the whole body, of which it is a part."""
    try:
        yield
    except Refusal as refusal:
        if "PropertyName" in refusal.values:
            refusal.values["PropertyName"] = f"{path}.{refusal.values['PropertyName']}"
        raise


def _refuse(error: msgspec.ValidationError, document: bytes) -> NoReturn:
    """Turn the decoder's message, which ends in the path, into a refusal."""
    match = _AT.fullmatch(str(error))
    assert match is not None, "the pattern takes any text"
    reason, path = match["reason"], (match["path"] or "").removeprefix(".")
    absent = _MISSING.fullmatch(reason)
    if absent is not None:
        raise missing(f"{path}.{absent[1]}" if path else absent[1]) from None
    if not path:
        raise InvalidRequestBody(Reason=reason) from None
    if reason.endswith("got `null`") and not path.endswith("]"):
        raise missing(path) from None
    raise wrong(path, _value_at(document, path), reason) from None


def _value_at(document: bytes, path: str) -> object:
    """Look up what stands at ``resourceFiles[0].filePath``, without secrets.

    Empty where it cannot be found, or is one.
    """
    if path.rpartition(".")[2] in SECRETS:
        return ""
    try:
        found: Any = msgspec.json.decode(document)
        for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
            found = found[name] if name else found[int(index)]
        return without_secrets(found)
    except (LookupError, TypeError, ValueError, RecursionError):
        return ""


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else _ENCODER.encode(value).decode()
    except (ValueError, OverflowError, RecursionError):
        return "…"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
