"""What the builders say, in our error tree: shared by every adapter over `builders`.

Nothing else may live here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from builders.errors import BuildError
from control_plane.errors import IngotError, Invalid, TooLarge, Unavailable

__all__ = ["translated"]

_TOO_LARGE = {"archive_too_large"}
_NOT_THE_AUTHORS = {
    "timed_out",
    "index_unreachable",
    "layer_corrupt",
    "confinement_failed",
    "bytecode_failed",
    "registry_unreachable",
    "registry_refused",
    "registry_corrupt",
    "registry_keeps_all",
    "signature_invalid",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn a BuildError into an error of ours with the same code, hint and the tool's own lines."""
    try:
        yield
    except BuildError as error:
        kind: type[IngotError] = TooLarge if error.code in _TOO_LARGE else Invalid
        if error.code in _NOT_THE_AUTHORS:
            kind = Unavailable
        errors = tuple((f"log/{number}", line) for number, line in enumerate(error.log[-40:]))
        ours = type(kind.__name__, (kind,), {"code": error.code})(
            error.message, field=error.field, hint=error.hint, errors=errors
        )
        raise ours from error
