// Speaks to the API of this origin: the session's cookie, the CSRF header, and problems as errors.

let csrfToken = "";

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code || "";
    this.hint = body.hint || "";
    this.requestId = body.request_id || "";
  }
}

export function rememberCsrf(token) {
  csrfToken = token || "";
}

export async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method, headers, credentials: "same-origin", cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem({ detail: "Ingot cannot be reached.", hint: "Check that it runs, then try again." }, 0);
  }
  const text = await answer.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    value = {};
  }
  if (!answer.ok) throw new Problem(value || {}, answer.status);
  return value;
}
