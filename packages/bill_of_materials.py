"""What is in a bundle, for whoever looks for known weaknesses? A bill of materials, CycloneDX 1.6 as JSON.

One component for each wheel, read from the wheel itself: name, version, licence as its makers tell it, the SHA-256 of
the file. The same wheels give the same bytes, whenever and wherever.

Source: ECMA-424 (CycloneDX 1.6); package URLs by the purl specification, type "pypi".
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_LICENCE_CLASS = "License :: "
_UNTOLD = ("", "UNKNOWN")
_LONGEST_NAME = 80
"""A longer "License" holds the licence's text."""


@dataclass(frozen=True)
class Wheel:
    """What one file says of itself. sha256: hexadecimal, of the whole file."""

    name: str
    version: str
    sha256: str
    told: Message

    @property
    def reference(self) -> str:
        return f"pkg:pypi/{self.name}@{quote(self.version)}"


def read_wheel(path: Path) -> Wheel:
    """Raises ValueError for a file without exactly one METADATA of a name and a version."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
        if len(found) != 1:
            raise ValueError(f"{path.name} is no wheel: it has {len(found)} METADATA")
        told = HeaderParser().parsestr(archive.read(found[0]).decode("utf-8"))
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Wheel(canonicalize_name(told["Name"]), told["Version"], sha256, told)


def bill_of(wheels: Iterable[Wheel], *, of: str, made: int) -> Mapping[str, object]:
    """The document.

    of    the name of the wheel that is what is installed; the others are what it needs.
    made  seconds since 1970.
    """
    by_name = {wheel.name: wheel for wheel in sorted(wheels, key=lambda wheel: wheel.name)}
    content = " ".join(f"{wheel.reference} {wheel.sha256}" for wheel in by_name.values())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": _component(by_name[of], kind="application"),
        },
        "components": [_component(wheel, kind="library") for name, wheel in by_name.items() if name != of],
        "dependencies": [
            {"ref": wheel.reference, "dependsOn": [by_name[name].reference for name in sorted(_needs(wheel, by_name))]}
            for wheel in by_name.values()
        ],
    }


def _component(wheel: Wheel, *, kind: str) -> Mapping[str, object]:
    licence = _licence(wheel.told)
    return {
        "type": kind,
        "bom-ref": wheel.reference,
        "name": wheel.name,
        "version": wheel.version,
        "purl": wheel.reference,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        **({} if licence is None else {"licenses": [licence]}),
    }


def _licence(told: Message) -> Mapping[str, object] | None:
    if told["License-Expression"]:
        return {"expression": told["License-Expression"]}
    short = (told["License"] or "").strip()
    if short not in _UNTOLD and "\n" not in short and len(short) <= _LONGEST_NAME:
        return {"license": {"name": short}}
    classes = [each for each in told.get_all("Classifier", []) if each.startswith(_LICENCE_CLASS)]
    return {"license": {"name": classes[0].rpartition(" :: ")[2]}} if classes else None


def _needs(wheel: Wheel, there: Mapping[str, Wheel]) -> set[str]:
    """Names of those in the bundle that it needs here, and of those that an extra of it would need."""
    extras = ["", *wheel.told.get_all("Provides-Extra", [])]
    asked = [Requirement(text) for text in wheel.told.get_all("Requires-Dist", [])]
    return {
        str(name)
        for each in asked
        if (name := canonicalize_name(each.name)) in there
        and (each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras))
    } - {wheel.name}
