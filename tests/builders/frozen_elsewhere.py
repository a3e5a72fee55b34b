"""Freezes and builds the draft in a folder and prints all that must not vary. Run as a script.

python frozen_elsewhere.py <draft> <data> <file with the lock> <order: "1" or "-1">
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Print version digest, layer digests, image, SBOM and unpacked trees as JSON."""
    from builders.build import Folders, build, freeze, read_draft, read_lock
    from builders.unpack import layer_folder

    draft, data, lock_file, order = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    paths = sorted((path for path in draft.rglob("*") if path.is_file()), key=str)[::order]
    files = {path.relative_to(draft).as_posix(): path.read_bytes() for path in paths}
    plan = read_draft(files)
    lock = read_lock(lock_file.read_bytes())
    frozen = freeze(plan, lock)
    folders = Folders(data / "blobs", data / "layers", data / "cache")
    built = build(frozen, files, lock, folders, platform="linux-x86_64")
    trees = {
        role: sorted(
            [path.relative_to(folder).as_posix(), oct(path.stat().st_mode), _hash(path)]
            for path in folder.rglob("*")
        )
        for role, folder in (
            (role, layer_folder(folders.layers, digest)) for role, digest in built.layers.items()
        )
    }
    layers = {role: _hash(folders.blobs / "sha256" / digest[7:]) for role, digest in built.layers.items()}
    facts = [frozen.digest, dict(built.layers), layers, built.image, built.sbom.decode(), trees]
    print(json.dumps({"facts": facts, "uid": os.geteuid(), "trees": {k: len(v) for k, v in trees.items()}}))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


if __name__ == "__main__":
    main()
