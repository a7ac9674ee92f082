// Who sits at this tab. Kept in sessionStorage, so that two tabs are two users.
// Knows nothing of the server: whether a name is good enough is the server's to say.

const KEY = "ondol.identity";
const FIELDS = ["nickname", "user_id", "email", "profile_url"];

const form = document.getElementById("identity");
const problem = document.getElementById("identity-problem");

// The user who has come in on this tab before, or null.
export function remembered() {
  const kept = read();
  return kept?.here ? kept : null;
}

// Keeps what was entered, to fill in the form, but asks again.
export function forget() {
  write({ ...read(), here: false });
}

// Shows the form, filled in, and calls `done` with the user once.
export function signIn(done) {
  const start = { ...somebody(), ...read() };
  for (const field of FIELDS) form.elements[field].value = start[field] ?? "";
  problem.hidden = true;
  form.onsubmit = (event) => {
    event.preventDefault();
    const user = { here: true };
    for (const field of FIELDS) user[field] = form.elements[field].value.trim();
    const blank = FIELDS.find((field) => field !== "profile_url" && !user[field]);
    problem.hidden = !blank;
    if (blank) {
      problem.textContent = "Only the picture may be left out.";
      form.elements[blank].focus();
      return;
    }
    write(user);
    done(user);
  };
  form.elements.nickname.focus();
  form.elements.nickname.select();
}

// Somebody to begin with, so that a look at the page takes one key.
function somebody() {
  const korean = navigator.language.startsWith("ko");
  const first = korean ? ["따뜻한", "포근한", "느긋한", "다정한", "졸린"] : ["Warm", "Cosy", "Gentle", "Kind", "Sleepy"];
  const second = korean ? ["수달", "너구리", "고양이", "두루미", "다람쥐"] : ["Otter", "Raccoon", "Cat", "Crane", "Squirrel"];
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  const number = 1000 + Math.floor(Math.random() * 9000);
  return {
    nickname: `${pick(first)} ${pick(second)}`,
    user_id: `guest-${number}`,
    email: `guest-${number}@example.com`,
    profile_url: "",
  };
}

// Storage may be switched off altogether: then the tab forgets on reload, and nothing else is lost.
function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function write(value) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(value));
  } catch {
    // See above.
  }
}
