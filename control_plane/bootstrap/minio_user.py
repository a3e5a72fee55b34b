"""Makes the bucket of the settings in MinIO, and the user that Ingot reaches it with and nothing else.

`python -m control_plane.bootstrap.minio_user [--data FOLDER] [--settings FILE]`, with MinIO's administrator
in `MINIO_ROOT_USER` and `MINIO_ROOT_PASSWORD`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from control_plane.adapters.cluster.bucket import Bucket
from control_plane.adapters.cluster.minio_user import Administrator, make_user
from control_plane.bootstrap.storage import bucket_access
from control_plane.errors import IngotError, Invalid
from control_plane.settings import Settings, load_settings

__all__ = ["make"]

_SECRET_BYTES = 30


def make(settings: Settings, surroundings: Mapping[str, str]) -> str:
    """Make bucket, policy and user, and the user's secret unless its file is there; return what was made."""
    kept = settings.storage
    for name in ("bucket", "endpoint", "access_key", "secret_key_file"):
        if not getattr(kept, name):
            raise Invalid(f"storage.{name} is not set.", field=f"storage.{name}", hint="Set it, then repeat.")
    names = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")
    user, password = (surroundings.get(name, "") for name in names)
    if not user or not password:
        raise Invalid("MinIO's administrator is not named.", hint=f"Set {names[0]} and {names[1]}.")
    if user == kept.access_key:
        raise Invalid(
            "The administrator's own key cannot be narrowed.",
            field="storage.access_key",
            hint="Choose another name for Ingot's key.",
        )
    _ensure_secret(Path(kept.secret_key_file))
    access = bucket_access(kept)
    Bucket(replace(access, access_key=user, secret_key=password)).ensure()
    make_user(access, Administrator(user, password))
    return f"{kept.access_key} reaches {kept.bucket}/{kept.prefix} and nothing else"


def _ensure_secret(path: Path) -> None:
    """Write a new secret for its owner alone; one that is there stays."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(_SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the process' exit code."""
    parser = argparse.ArgumentParser(prog="control_plane.bootstrap.minio_user", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".ingot"))
    parser.add_argument("--settings", type=Path, default=None)
    asked = parser.parse_args(arguments)
    try:
        print(make(load_settings(asked.data, os.environ, asked.settings), os.environ))
    except IngotError as error:
        print(f"{error} {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
