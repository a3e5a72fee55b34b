"""What OPTIONS answers: the methods of the route that is meant, not of every pattern that would fit."""

from __future__ import annotations

from flask import Flask, Response, current_app, request

__all__ = ["install_methods"]


def install_methods(app: Flask) -> None:
    """Name exactly a route's own methods in the answer to OPTIONS."""

    def name(response: Response) -> Response:
        if request.method == "OPTIONS" and request.url_rule is not None:
            same = [one for one in current_app.url_map.iter_rules() if one.rule == request.url_rule.rule]
            response.allow.clear()
            response.allow.update(sorted({method for one in same for method in one.methods or ()}))
        return response

    app.after_request(name)
