// Shows the report anew when the run has grown. A reload keeps the report's place and view: they are the browser's and the fragment's.
"use strict";
const frame = document.getElementById("report");
const state = document.getElementById("state");
let shown = document.body.dataset.version;
let busy = false; // asking, or the report is being loaded

async function look() {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch("version", {cache: "no-store"});
    const version = await answer.text();
    if (!answer.ok) throw new Error(version);
    state.hidden = true;
    if (version !== shown) {
      shown = version;
      frame.contentWindow.location.reload();
      return; // its load event ends being busy
    }
  } catch (e) {
    state.hidden = false;
  }
  busy = false;
}
frame.addEventListener("load", () => { busy = false; });
setInterval(look, Number(document.body.dataset.pause));
