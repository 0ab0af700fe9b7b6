// What a link asks for: fields that are shown, read, and told when something is missing. Nothing is ever cleared: a
// wrong answer is corrected, not typed again.
const form = document.getElementById("answers");
const said = document.getElementById("said");
const says = document.getElementById("says");
let version = null;

const input = (name) => form.elements.namedItem(name);
const value = (name) => input(name).value.trim();
const asked = () => [...form.querySelectorAll("[data-need]")].filter((place) => !place.hidden);

// What each condition takes from its fields; null while something is missing.
const READ = {
  passcode: () => (value("passcode") ? { passcode: input("passcode").value } : null),
  "birth-date": () => {
    const [year, month, day] = ["year", "month", "day"].map((part) => value(`birth_${part}`));
    if (!/^\d{4}$/.test(year) || !month || !/^\d{1,2}$/.test(day)) return null;
    return { birth_date: `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}` };
  },
  "mail-code": () => {
    const code = value("mail_code").replace(/\s/g, "");
    return /^\d{6}$/.test(code) ? { mail_code: code } : null;
  },
  terms: () => (input("terms").checked ? { terms: version } : null),
};

// Show the fields for *look*; whether there are fields for all that is needed.
export function ask(look) {
  for (const place of form.querySelectorAll("[data-need]")) place.hidden = !look.needs.includes(place.dataset.need);
  for (const to of form.querySelectorAll("[data-mail-to]")) to.textContent = look.mail_to ?? "";
  if (look.terms) {
    const text = document.getElementById("terms-text");
    text.textContent = look.terms.text;
    text.lang = look.terms.language;
    if (version !== null && version !== look.terms.version) input("terms").checked = false; // others by now
    version = look.terms.version;
  }
  return look.needs.every((need) => need in READ);
}

// What was answered, to be sent; null when something is missing, which is marked and gets the focus.
export function answers() {
  const sent = {};
  let first = null;
  say();
  for (const place of asked()) {
    const answer = READ[place.dataset.need]();
    mark(place, answer === null);
    if (answer) Object.assign(sent, answer);
    else first ??= place;
  }
  const fields = first ? [...first.querySelectorAll("input, select, button")].filter((each) => each.offsetParent) : [];
  (fields.find((each) => each.matches("input, select") && !each.value) ?? fields[0])?.focus();
  return first ? null : sent;
}

form?.addEventListener("input", (event) => event.target.removeAttribute("aria-invalid"));

function mark(place, wrong) {
  for (const each of place.querySelectorAll("input, select")) {
    if (wrong) each.setAttribute("aria-invalid", "true");
    else each.removeAttribute("aria-invalid");
  }
  const missing = place.querySelector(".missing");
  missing.textContent = wrong ? missing.dataset.text : "";
}

// Say what became of the answers, with how many tries are left; nothing, for nothing.
export function say(reason, triesLeft) {
  said.replaceChildren();
  if (!reason) return;
  const told = says.content.querySelector(`[data-say="${reason}"]`) ?? says.content.querySelector('[data-say="trouble"]');
  const tries = says.content.querySelector(`[data-tries="${triesLeft}"]`);
  for (const each of [told, tries]) if (each) said.append(each.cloneNode(true));
  if (reason === "wrong-answer") for (const place of asked()) if (place.dataset.need !== "terms") invalid(place);
  said.focus();
}

// Which of them was wrong nobody is told.
function invalid(place) {
  for (const each of place.querySelectorAll("input, select")) each.setAttribute("aria-invalid", "true");
}

// Whether *reason* is one to correct the answers after; the others are the end of the link, or of this page.
export const correctable = (reason) => says.content.querySelector(`[data-say="${reason}"]`) !== null;

// Let *send* mail a code, whenever a person says so; it answers with what the server said.
export function mailsCodes(send) {
  const button = document.getElementById("send");
  const sent = document.getElementById("sent");
  button.addEventListener("click", async () => {
    button.disabled = true;
    sent.textContent = "";
    say();
    const answer = await send();
    button.disabled = false;
    if (!answer) return;
    if (answer.problem) return say(answer.problem === "too-many" ? "too-many" : "mail-trouble");
    button.textContent = button.dataset.another;
    button.classList.add("plain");
    sent.textContent = sent.dataset.text;
    enterCode();
  });
  document.getElementById("have").addEventListener("click", enterCode);
}

function enterCode() {
  document.getElementById("code").hidden = false;
  document.getElementById("have").hidden = true;
  input("mail_code").focus();
}

const reveal = document.getElementById("reveal");
if (reveal) reveal.hidden = false;
reveal?.addEventListener("click", () => {
  const shown = reveal.getAttribute("aria-pressed") !== "true";
  reveal.setAttribute("aria-pressed", String(shown));
  input("passcode").type = shown ? "text" : "password";
});
