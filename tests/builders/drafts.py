"""Drafts and wheels made for tests, so that no test needs a network or a file of the checkout."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

HANDLER = b"def execute(input, context):\n    return input\n"


def a_draft(manifest: str = 'runtime = "python3.11"\n', **files: str | bytes) -> dict[str, bytes]:
    """Return a draft's files; `requirements_txt="six"` adds or replaces requirements.txt."""
    draft: dict[str, bytes] = {"ingot.toml": manifest.encode(), "main.py": HANDLER}
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        draft[f"{stem}.{suffix}"] = content.encode() if isinstance(content, str) else content
    return draft


def a_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    requires: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    metadata: str = "",
    entry_points: str = "",
) -> Path:
    """Write a small, valid wheel and return its path."""
    info = f"{name}-{version}.dist-info"
    contents = dict(files if files is not None else {f"{name}/__init__.py": f"VERSION = {version!r}\n"})
    contents[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}"
        + "".join(f"Requires-Dist: {item}\n" for item in requires)
    )
    pure = "true" if tag.endswith("any") else "false"
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    if entry_points:
        contents[f"{info}/entry_points.txt"] = entry_points
    rows = [f"{path},sha256={_record_hash(text)},{len(text.encode())}" for path, text in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    target = folder / f"{name}-{version}-{tag}.whl"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    target.write_bytes(buffer.getvalue())
    return target


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
