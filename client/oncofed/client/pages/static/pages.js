"use strict";
// Saves a picture as PNG, prints, and leaves the page when the session has run out.
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
  document.querySelectorAll("button.print").forEach((button) => button.addEventListener("click", () => window.print()));

  // What was shown shall not stay on an unattended screen.
  const idle = Number(document.body.dataset.idleSeconds || 0);
  if (idle > 0) {
    window.setTimeout(() => window.location.replace("/"), (idle + 2) * 1000);
  }
  // A page that a browser kept for its back button may belong to a session that is over.
  window.addEventListener("pageshow", (event) => { if (event.persisted) { window.location.reload(); } });
})();
