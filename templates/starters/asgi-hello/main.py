"""An ASGI application without a framework; FastAPI, Starlette and others fit the same place."""

import asyncio
import json


async def app(scope, receive, send):
    """Route by path: `/` greets, `/count` streams three lines."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] == "/":
        body = json.dumps({"hello": "world", "method": scope["method"]}).encode()
        await _answer(send, 200, b"application/json", body)
    elif scope["path"] == "/count":
        await _count(send)
    else:
        await _answer(send, 404, b"application/json", b'{"detail": "There is only / and /count."}')


async def _lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send, status, content_type, body):
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _count(send):
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in (1, 2, 3):
        await send({"type": "http.response.body", "body": f"{number}\n".encode(), "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b""})
