// Takes in what the server sends of the run, and sends what somebody says. Without it the page works, and is reloaded by hand.
"use strict";
const link = document.getElementById("link");
const answer = document.getElementById("answer");

function replace(id, html) {
  const place = document.getElementById(id);
  // what somebody typed stays, and so does where they are
  const typed = {};
  for (const field of place.querySelectorAll("input:not([type=hidden]), select")) typed[field.name] = field.value;
  const focused = place.contains(document.activeElement) ? document.activeElement.name : "";
  place.innerHTML = html;
  for (const field of place.querySelectorAll("input:not([type=hidden]), select")) if (field.name in typed) field.value = typed[field.name];
  if (focused) place.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
}

const source = new EventSource(document.body.dataset.stream);
source.addEventListener("live", (event) => replace("live", JSON.parse(event.data)));
source.addEventListener("decide", (event) => replace("decide", JSON.parse(event.data)));
source.addEventListener("title", (event) => { document.title = JSON.parse(event.data); });
source.addEventListener("trouble", (event) => { link.textContent = JSON.parse(event.data); });
source.addEventListener("open", () => { link.textContent = ""; });
source.addEventListener("error", () => {
  link.textContent = source.readyState === EventSource.CLOSED
    ? "The pages were started again, or your access has ended: load this page again. What you see is old."
    : "The connection was lost; trying again. What you see may be old.";
});

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  // a button is called "action", so form.action is that button
  const body = new URLSearchParams(new FormData(form, event.submitter));
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  try {
    const reply = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/json" } });
    const said = await reply.json();
    answer.textContent = said.says;
    answer.className = reply.ok ? "good" : "bad";
    const code = form.querySelector("[name=code]");
    if (code) code.value = "";
  } catch {
    answer.textContent = "The server did not answer: nothing is known of what you said. Look at the run before you say it again.";
    answer.className = "bad";
  }
  for (const button of form.querySelectorAll("button")) button.disabled = false;
});
