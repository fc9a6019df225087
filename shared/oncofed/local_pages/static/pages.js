"use strict";
// Saves a picture as PNG, reads its values by keyboard and touch, prints, and leaves the page when the session is over.
// Nothing here asks the network for anything; without it the pages show everything.
(() => {
  const sharper = 2;

  const save = (plot) => {
    const picture = plot.querySelector("svg");
    const { width, height } = picture.viewBox.baseVal;
    const alone = picture.cloneNode(true);
    alone.setAttribute("width", width);
    alone.setAttribute("height", height);
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = document.createElement("canvas");
      canvas.width = sharper * width;
      canvas.height = sharper * height;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      const link = document.createElement("a");
      link.download = `${plot.dataset.name}.png`;
      link.href = canvas.toDataURL("image/png");
      link.click();
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(alone))}`;
  };
  document.querySelectorAll(".save-png").forEach((button) => {
    button.addEventListener("click", () => save(button.closest("figure").querySelector(".plot")));
  });
  // A pointer that rests on a mark is told its values by the mark's title; keys and fingers are told them here.
  document.querySelectorAll("figure").forEach((figure) => {
    const told = [...figure.querySelectorAll(".plot title")].map((title) => title.parentElement);
    const frame = figure.querySelector(".scroll");
    const reading = figure.querySelector(".reading");
    if (!told.length || !reading) { return; }
    let place = -1;
    const read = (next) => {
      told.forEach((mark) => mark.classList.remove("read"));
      place = Math.min(Math.max(next, 0), told.length - 1);
      told[place].classList.add("read");
      told[place].scrollIntoView({ block: "nearest", inline: "nearest" });
      reading.textContent = told[place].querySelector("title").textContent.replaceAll("\n", " \u00b7 ");
    };
    reading.textContent = reading.dataset.how;
    reading.hidden = false;
    frame.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -told.length, End: told.length }[event.key];
      if (step) { event.preventDefault(); read(place + step); }
    });
    told.forEach((mark, at) => mark.addEventListener("click", () => read(at)));
  });
  document.querySelectorAll("button.print").forEach((button) => button.addEventListener("click", () => window.print()));

  // What was shown shall not stay on an unattended screen.
  const idle = Number(document.body.dataset.idleSeconds || 0);
  if (idle > 0) {
    window.setTimeout(() => window.location.replace("/"), (idle + 2) * 1000);
  }
  // A page that a browser kept for its back button may belong to a session that is over.
  window.addEventListener("pageshow", (event) => { if (event.persisted) { window.location.reload(); } });
})();
