// The admin API of the server that the page is from. The session is in a cookie that no script reads; each change brings the
// form token, which this file alone knows. Knows nothing of what is shown.

// A call that came to nothing: the status, the server's code and words, and for each handler why it was rejected.
export class Refused extends Error {
  constructor(status, body) {
    const field = Object.entries(body).find(([, value]) => Array.isArray(value));
    super(body.detail ?? (field ? field[1][0] : `${status}`));
    this.status = status;
    this.code = body.code ?? "";
    this.handlers = body.handlers ?? {};
  }
}

// The server does not answer.
export class Unreachable extends Error {}

let form = null;

// What the server says of the session: its limits, and whether it has one.
export async function session() {
  const session = await get("/console/session");
  form = session.form;
  return session;
}

export async function logIn(token) {
  await ask("POST", "/console/login", { token });
}

export async function logOut() {
  await change("POST", "/console/logout");
}

export function get(path) {
  return ask("GET", path);
}

// A change. A server without a token forgets the form token when it restarts: then the page asks for the new one.
export async function change(method, path, body) {
  try {
    return await ask(method, path, body);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    const before = form;
    await session();
    if (form === before || !form) throw error;
    return ask(method, path, body);
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && form) headers["x-ondol-form"] = form;
  let answer, read;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
    read = await answer.json();
  } catch {
    throw new Unreachable();
  }
  if (answer.ok) return read;
  if (answer.status === 401 && path !== "/console/login") document.dispatchEvent(new Event("signed-out"));
  throw new Refused(answer.status, read);
}
