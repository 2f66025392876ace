// Without this script the page works by reloading. With it, it follows the session as it happens.
"use strict";

const live = document.getElementById("live");
const notice = document.getElementById("notice");
const form = document.getElementById("act");

function say(text) {
  notice.textContent = text;
  notice.hidden = text === "";
}

function markCurrent() {
  for (const row of document.querySelectorAll("[data-open]")) row.removeAttribute("data-open");
  const current = document.getElementById("current").dataset.row;
  if (current) document.getElementById(current)?.setAttribute("data-open", "");
}

// The server sends the panel as it would render it into the page, everything in it escaped.
const stream = new EventSource(live.dataset.stream);
stream.onmessage = (message) => {
  const focused = document.activeElement?.id;
  const unfolded = [...live.querySelectorAll("details")].map((d) => d.open);
  live.innerHTML = message.data;
  live.querySelectorAll("details").forEach((d, i) => { d.open = unfolded[i] ?? false; });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  live.classList.remove("stale");
  markCurrent();
};
stream.onerror = () => live.classList.add("stale");

form.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  say("");
  try {
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { Accept: "text/plain" },
      body: new URLSearchParams(new FormData(form, submit.submitter)),
    });
    if (!answer.ok) say(await answer.text());
  } catch {
    say("The sandbox cannot be reached. Is it still running?");
  }
});

markCurrent();
