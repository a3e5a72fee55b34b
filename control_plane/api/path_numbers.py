"""Numbers in addresses: only those that the store can hold; any other address leads nowhere."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

from control_plane.api.schemas import MAX_NUMBER

__all__ = ["install_path_numbers"]


class _PathNumber(IntegerConverter):
    def __init__(self, url_map: Map, **more: Any) -> None:
        super().__init__(url_map, **{"max": MAX_NUMBER, **more})


def install_path_numbers(app: Flask) -> None:
    """Bound what `<int:…>` takes in every address; to be called before routes are registered."""
    app.url_map.converters["int"] = _PathNumber
