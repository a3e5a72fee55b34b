"""Other people's checks of a signature: one made of cosign's own packages, and the openssl program."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from builders.attachments import attachment_tags
from builders.place import Place

__all__ = ["build_cosign_check", "cosign_accepts", "openssl_accepts"]

_SOURCE = Path(__file__).with_name("cosign")


@lru_cache(maxsize=1)
def build_cosign_check() -> Path:
    """Return the built program. Raises FileNotFoundError when there is no Go, or no modules for it."""
    if shutil.which("go") is None:
        raise FileNotFoundError("Go is not installed")
    program = Path(mkdtemp(prefix="cosign")) / "cosigncheck"
    command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        command, cwd=_SOURCE, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode != 0:
        raise FileNotFoundError(f"cosign's packages cannot be built here: {done.stderr[-300:]}")
    return program


def cosign_accepts(
    program: Path, public_key: Path, reference: str, credentials: Mapping[str, str] | None = None
) -> bool:
    """Say whether cosign finds a signature of the key on the image."""
    command = [str(program), str(public_key), reference]
    environment = {**os.environ, **(credentials or {})}
    return (
        subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False).returncode == 0
    )


def openssl_accepts(place: Place, digest: str, public_key: Path, work: Path) -> bool:
    """Say whether the openssl program accepts the first signature that lies where cosign looks."""
    stored = place.manifest(attachment_tags(digest)[0])
    assert stored is not None
    (layer, *_) = stored.document["layers"]
    payload = place.blob(layer["digest"], 1 << 16)
    assert json.loads(payload)["critical"]["image"]["docker-manifest-digest"] == digest
    (work / "payload").write_bytes(payload)
    signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
    (work / "signature").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-verify", str(public_key), "-signature", "signature", "payload"]
    return subprocess.run(command, cwd=work, capture_output=True, timeout=30, check=False).returncode == 0
