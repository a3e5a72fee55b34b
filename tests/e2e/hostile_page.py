"""A function whose page attacks the console of whoever opens it. Data only.

The script collects what it achieved in `window.leaks` and what it tried in
`window.tried`, and shows both in the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["files"]

_HANDLER = """
import json, os

def execute(input, context):
    here = os.path.dirname(__file__)
    if context.path == "/worker.js":
        return 200, {"Content-Type": "text/javascript", "Service-Worker-Allowed": "/"}, "self.onfetch = () => {};"
    if context.path == "/echo":
        return {"headers": dict(context.headers)}
    page = open(os.path.join(here, "page.html")).read().replace("SEEN", json.dumps(dict(context.headers)))
    return 200, [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Set-Cookie", "evil=1; Path=/"),
        ("Set-Cookie", "SESSION=stolen; Path=/"),
        ("Clear-Site-Data", '"cookies", "storage"'),
        ("Service-Worker-Allowed", "/"),
        ("Access-Control-Allow-Origin", "*"),
        ("Content-Security-Policy", "default-src * 'unsafe-inline' 'unsafe-eval'"),
    ], page
"""

# What needs no script: it must do nothing either, sandboxed or not.
_PASSIVE = """
<img id="image" src="CONSOLE/assets/mark.svg">
<img src="CONSOLE/api/v1/sessions/current?_method=DELETE">
<link rel="prefetch" href="CONSOLE/api/v1/me"><link rel="preload" as="fetch" href="CONSOLE/api/v1/reviews">
<link rel="stylesheet" href="CONSOLE/assets/page.css">
<script id="foreign" src="CONSOLE/assets/page.js"></script>
<object data="CONSOLE/"></object><embed src="CONSOLE/">
<iframe id="frame" name="frame" src="CONSOLE/"></iframe>
<iframe name="sink"></iframe>
<form id="approve" method="post" action="CONSOLE/api/v1/reviews/REVIEW/approve" enctype="text/plain" target="sink">
<input name='{"digest":"DIGEST","x":"' value='"}'></form>
"""

_SCRIPT = """
window.leaks = []; window.tried = []; window.seen = SEEN;
const CONSOLE = CONSOLE_URL, CHANGES = CHANGE_LIST, COOKIE = COOKIE_NAME, FOREIGN = FOREIGN_SESSION;
const soon = (promise, ms = 3000) => Promise.race([promise, new Promise((_, no) => setTimeout(() => no("late"), ms))]);
async function attempt(what, action) {
  tried.push(what);
  try { const found = await soon(Promise.resolve().then(action)); if (found) leaks.push(`${what}: ${String(found).slice(0, 200)}`); }
  catch (error) { /* refused, as it must be */ }
}
const told = (target, good, bad, ms = 2500) => new Promise((yes) => {
  for (const name of good) target.addEventListener(name, () => yes(name));
  for (const name of bad) target.addEventListener(name, () => yes(""));
  setTimeout(() => yes(""), ms);
});
const opaque = async (answer) => answer.type === "opaque" ? "" : `${answer.type} ${await answer.text()}`;

async function read() {
  for (const path of ["/", "/api/v1/me", "/api/v1/reviews", "/api/v1/openapi.json", "/livez", "/metrics"]) {
    for (const mode of ["cors", "no-cors", "same-origin"])
      await attempt(`${mode} ${path}`, async () => opaque(await fetch(CONSOLE + path, { mode, credentials: "include" })));
    await attempt(`XHR ${path}`, () => new Promise((yes) => {
      const request = new XMLHttpRequest();
      request.open("GET", CONSOLE + path); request.withCredentials = true;
      request.onloadend = () => yes(request.responseText); request.send();
    }));
  }
  await attempt("cookies", () => document.cookie);
  await attempt("storage", () => localStorage.length + sessionStorage.length || "");
  await attempt("opener", () => window.opener && "an opener");
  await attempt("credentials", async () => (await navigator.credentials.get({ password: true }))?.id);
  const stream = new EventSource(CONSOLE + "/api/v1/stream", { withCredentials: true });
  await attempt("EventSource", () => told(stream, ["open", "message"], ["error"]));
  stream.close();
  await attempt("WebSocket", () => told(new WebSocket(CONSOLE.replace("http", "ws") + "/api/v1/stream"), ["open", "message"], ["error", "close"]));
  await attempt("SharedWorker", () => new SharedWorker(CONSOLE + "/assets/page.js"));
  await attempt("module", () => import(CONSOLE + "/assets/api.js"));
  const script = document.createElement("script"); script.src = CONSOLE + "/api/v1/me";
  const loaded = told(script, ["load"], ["error"]); document.body.append(script);
  await attempt("script", () => loaded);
  const image = new Image(); const shown = told(image, ["load"], ["error"]); image.src = CONSOLE + "/assets/mark.svg";
  await attempt("image", () => shown);
}

async function frames() {
  const frame = document.getElementById("frame");
  await attempt("frame's document", () => frame.contentDocument && frame.contentDocument.body && frame.contentDocument.body.innerText);
  await attempt("frame's address", () => frame.contentWindow.location.href.startsWith(CONSOLE) && "read");
  await attempt("document.domain", () => { document.domain = location.hostname; return frame.contentWindow.document.body.innerText; });
  const popup = window.open(CONSOLE + "/", "popup");
  tried.push(popup ? "popup opened" : "popup refused");
  await new Promise((yes) => setTimeout(yes, 1500));
  if (popup) {
    await attempt("popup's document", () => popup.document.body.innerText);
    await attempt("popup's address", () => popup.location.href.startsWith(CONSOLE) && "read");
    await attempt("popup is still held", () => !popup.closed && "it is");
    await attempt("messages", () => { const answered = told(window, ["message"], []); popup.postMessage("hello", "*"); return answered; });
    await attempt("script in popup", () => { popup.location = "javascript:opener.leaks.push('ran')"; });
  }
}

async function workers() {
  for (const scope of ["/", "/acme/"])
    await attempt(`worker for ${scope}`, async () => (await navigator.serviceWorker.register(location.pathname + "/worker.js", { scope })).scope);
  await attempt("worker from the console", async () => (await navigator.serviceWorker.register(CONSOLE + "/assets/page.js")).scope);
}

async function change() {
  for (const [method, path, body] of CHANGES) {
    const text = JSON.stringify(body);
    for (const [mode, type] of [["cors", "application/json"], ["no-cors", "text/plain"], ["no-cors", "application/x-www-form-urlencoded"]])
      await attempt(`${method} ${path} ${type}`, async () => opaque(await fetch(CONSOLE + path, {
        method, mode, credentials: "include", body: text,
        headers: { "Content-Type": type, ...(mode === "cors" ? { "X-CSRF-Token": "guess", "X-HTTP-Method-Override": method } : {}) },
      })));
    if (method === "POST") {
      navigator.sendBeacon(CONSOLE + path, text);
      for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
        const form = document.createElement("form");
        Object.assign(form, { method: "post", action: CONSOLE + path, enctype, target: "sink" });
        const field = document.createElement("input");
        field.name = text.slice(0, -1) + (text === "{}" ? '"x":"' : ',"x":"'); field.value = '"}';
        form.append(field); document.body.append(form); form.submit();
        await new Promise((yes) => setTimeout(yes, 30));
      }
    }
  }
}

async function cookies() {
  for (const path of ["/", "/api", "/api/v1", "/api/v1/me"])
    document.cookie = `${COOKIE}=${FOREIGN}; path=${path}`;
  document.cookie = `${COOKIE}=; path=/; max-age=0`;
  tried.push("foreign session set");
}

(async () => {
  await new Promise((yes) => setTimeout(yes, 500));
  await read(); await frames(); await workers(); await change();
  if (FOREIGN) await cookies();
  document.getElementById("results").textContent = JSON.stringify({ leaks, tried }, null, 1);
  window.done = true;
})();
"""


def files(console: str, port: int, facts: Mapping[str, Any], manifest: str) -> dict[str, str]:
    """Return the function's draft. `facts`: review, digest, changes [[method, path, body]], session."""
    changes: Sequence[Any] = facts["changes"]
    script = (
        _SCRIPT.replace("CONSOLE_URL", json.dumps(console))
        .replace("CHANGE_LIST", json.dumps(changes))
        .replace("COOKIE_NAME", json.dumps(f"ingot_session_{port}"))
        .replace("FOREIGN_SESSION", json.dumps(facts.get("session", "")))
    )
    passive = (
        _PASSIVE.replace("CONSOLE", console)
        .replace("REVIEW", facts["review"])
        .replace("DIGEST", facts["digest"])
    )
    page = f"<!doctype html><title>A report</title><h1>A report</h1>{passive}<pre id=results></pre><script>{script}</script>"
    return {
        "ingot.toml": f"handler = 'main:execute'\npublic = true\n{manifest}\n",
        "main.py": _HANDLER.replace("SESSION", f"ingot_session_{port}"),
        "page.html": page,
    }
