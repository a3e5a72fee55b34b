"""Built images in an S3 store: a layer outlives the machine that built it, and comes back when it is missed.

The folders of a machine hold copies, for its builder and its function host to
work on; what an image is, `builders` knows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from builders.build import Folders
from builders.storage import blob_path, new_blob
from builders.unpack import layer_folder, unpack_layer
from control_plane.adapters.build_errors import translated
from control_plane.adapters.cluster.s3_blobs import S3Blobs

__all__ = ["S3Layers"]


@dataclass(frozen=True, slots=True)
class S3Layers:
    """The layers of images, here and in the store."""

    blobs: S3Blobs
    folders: Folders

    def keep(self, image: str) -> None:
        """Store an image that was built here: its parts first, so that who finds it finds them."""
        manifest = json.loads(blob_path(self.folders.blobs, image).read_bytes())
        parts = (manifest["config"], *manifest["layers"])
        for digest in (*(part["digest"] for part in parts), image):
            self.blobs.put_file(blob_path(self.folders.blobs, digest), digest)

    def bring(self, layers: Mapping[str, str]) -> None:
        """Unpack the layers that are not on this machine, if the store has them."""
        for role, digest in layers.items():
            if layer_folder(self.folders.layers, digest).is_dir():
                continue
            # Layers of drafts are nowhere else; the function host says that they are missing.
            with contextlib.suppress(FileNotFoundError), translated():
                if not blob_path(self.folders.blobs, digest).exists():
                    with new_blob(self.folders.blobs) as stream:
                        self.blobs.get_file(digest, stream)
                unpack_layer(self.folders.blobs, self.folders.layers, digest, role)
