"use strict";
// Brings what is in the page's <main> up to date every few seconds, until somebody says pause. It asks the server that
// the page came from and nobody else. When that does not answer, what was there stays, and the page says since when.
// Without it the page loads itself anew now and then, by a <meta> that stands in a <noscript>.
(() => {
  const seconds = Number(document.body.dataset.followSeconds || 0);
  const bar = document.querySelector(".follow");
  if (!seconds || !bar) { return; }
  const said = bar.querySelector(".followed");
  const button = bar.querySelector("button");
  let following = true;
  let asking = false;

  const kept = (main) => ({
    focus: main.contains(document.activeElement) ? document.activeElement.id : "",
    open: [...main.querySelectorAll("details[open][id]")].map((each) => each.id),
    left: [...main.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
  });
  const restore = (main, before) => {
    before.open.forEach((id) => { const found = document.getElementById(id); if (found) { found.open = true; } });
    [...main.querySelectorAll(".scroll")].forEach((each, at) => { each.scrollLeft = before.left[at] || 0; });
    const focus = before.focus && document.getElementById(before.focus);
    if (focus) { focus.focus({ preventScroll: true }); }
  };
  const selecting = () => String(window.getSelection()) !== "";

  const look = async () => {
    if (!following || asking || document.hidden || selecting()) { return; }
    asking = true;
    try {
      const answer = await fetch(window.location.href, { cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(30000) });
      if (answer.type === "opaqueredirect") { window.location.replace("/sign-in"); return; }
      if (!answer.ok) { throw new Error(String(answer.status)); }
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = document.querySelector("main");
      const before = kept(main);
      main.replaceChildren(...document.adoptNode(next.querySelector("main")).childNodes);
      restore(main, before);
      said.textContent = next.querySelector(".followed").textContent;
      bar.classList.remove("lost");
    } catch {
      if (!bar.classList.contains("lost")) {
        bar.classList.add("lost");
        said.textContent = bar.dataset.lost.replace("TIME", new Date().toISOString().slice(11, 19));
      }
    } finally {
      asking = false;
    }
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    following = !following;
    button.textContent = following ? bar.dataset.pause : bar.dataset.on;
    look();
  });
  window.setInterval(look, seconds * 1000);
})();
