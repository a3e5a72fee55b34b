// Builds tables from rows; values only ever become text, never markup.

export function text(tag, value, className = "") {
  const element = document.createElement(tag);
  element.textContent = value;
  if (className) element.className = className;
  return element;
}

export function table(columns, rows) {
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  for (const [label, , kind] of columns) {
    const cell = text("th", label, kind === "number" ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, field, kind] of columns) line.append(cellOf(row[field], kind));
  }
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.append(element);
  return scroll;
}

function cellOf(value, kind) {
  const shown = value === null || value === undefined || value === "" ? "–" : shownAs(value, kind);
  if (kind !== "code") return text("td", shown, kind === "number" ? "number" : "");
  const cell = document.createElement("td");
  cell.append(text("code", shown));
  return cell;
}

function shownAs(value, kind) {
  if (Array.isArray(value)) return value.map((each) => `v${each}`).join(", ") || "–";
  if (kind === "number" && typeof value === "number") return value.toLocaleString();
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return new Date(value).toLocaleString();
  return String(value);
}
