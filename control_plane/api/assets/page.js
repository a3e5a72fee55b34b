// The page: sign in, create the first owner, then show what waits, what runs and what was counted.
import { call, Problem, rememberCsrf } from "./api.js";
import { table, text } from "./tables.js";

const byId = (id) => document.getElementById(id);
const SECTIONS = ["sign-in", "change", "set-up", "home"];

function show(section) {
  for (const id of SECTIONS) byId(id).hidden = id !== section;
  byId("account").hidden = section !== "home";
  byId("problem").hidden = true;
  const field = byId(section).querySelector("input");
  if (field) field.focus();
}

function showProblem(error) {
  const known = error instanceof Problem;
  const lines = [known ? error.message : "This page failed to show the answer."];
  if (known && error.hint) lines.push(error.hint);
  if (known && error.requestId) lines.push(`Request ${error.requestId}`);
  const place = byId("problem");
  place.textContent = lines.join("\n");
  place.hidden = false;
  if (!known) console.error(error);
}

function onSubmit(formId, work) {
  byId(formId).addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const button = form.querySelector("button");
    button.disabled = true;
    byId("problem").hidden = true;
    try {
      await work(Object.fromEntries(new FormData(form)));
      form.reset();
    } catch (error) {
      showProblem(error);
    } finally {
      button.disabled = false;
    }
  });
}

async function signedIn(session) {
  rememberCsrf(session.csrf_token);
  if (session.must_change_password) {
    show("change");
    return;
  }
  const me = await call("GET", "/me");
  rememberCsrf(me.csrf_token);
  byId("who").textContent = me.user.email;
  show("home");
  await Promise.allSettled([
    fill("reviews", "/reviews?state=open&limit=20", reviewRows, "Nothing waits for a review."),
    fill("functions", "/functions?limit=100", functionRows, "No functions yet. Start one with: ingot init NAME --starter orders-report"),
    fill("usage", "/usage?group_by=function&days=7", usageRows, "No calls yet."),
  ]);
}

async function fill(id, path, rows, empty) {
  const place = byId(id);
  try {
    const answer = await call("GET", path);
    place.replaceChildren(answer.items.length ? rows(answer.items) : text("p", empty, "quiet"));
  } catch (error) {
    const reason = error instanceof Problem ? `${error.message} ${error.hint}` : "This part could not be shown.";
    place.replaceChildren(text("p", reason, "problem"));
    if (!(error instanceof Problem)) console.error(error);
  }
}

const reviewRows = (items) => table(
  [["Function", "function_name"], ["Version", "version_number", "number"], ["Asked by", "submitter_email"], ["Since", "created_at"], ["Digest", "digest", "code"]],
  items,
);
const functionRows = (items) => table(
  [["Name", "name"], ["Project", "project_name"], ["Address", "path", "code"], ["Live", "live_versions"], ["Created", "created_at"]],
  items,
);
const usageRows = (items) => table(
  [["Function", "label"], ["Calls", "calls", "number"], ["Failed", "failed", "number"], ["Refused", "refused", "number"], ["Billed ms", "billed_ms", "number"]],
  items,
);

function ownerToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  // The one-time token must not stay in the address bar or the history.
  if (token) history.replaceState(null, "", location.pathname);
  return token;
}

async function start() {
  const token = location.pathname === "/welcome" ? ownerToken() : null;
  onSubmit("sign-in-form", async (form) => signedIn(await call("POST", "/sessions", form)));
  onSubmit("change-form", async (form) => signedIn(await call("PUT", "/me/password", form)));
  onSubmit("set-up-form", async (form) => {
    const session = await call("POST", "/setup", { ...form, token });
    history.replaceState(null, "", "/");
    await signedIn(session);
  });
  byId("sign-out").addEventListener("click", async () => {
    try {
      await call("DELETE", "/sessions/current");
      rememberCsrf("");
      show("sign-in");
    } catch (error) {
      showProblem(error);
    }
  });
  if (token) {
    show("set-up");
    return;
  }
  try {
    await signedIn(await call("GET", "/me"));
  } catch (error) {
    show("sign-in");
    if (!(error instanceof Problem && error.status === 401)) showProblem(error);
  }
}

start();
