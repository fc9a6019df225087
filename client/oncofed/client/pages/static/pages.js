"use strict";
// Draws each figure that a page holds, saves it as PNG, prints, and leaves the page when the session has run out.
// Nothing here asks the network for anything.
(() => {
  const settings = { displayModeBar: false, responsive: true, showTips: false, displaylogo: false };
  const printWidth = 660;

  const draw = (plot) => {
    const figure = JSON.parse(plot.dataset.figure);
    plot.style.minHeight = `${figure.layout.height}px`;
    Plotly.newPlot(plot, figure.data, figure.layout, settings);
    const button = plot.closest("figure").querySelector(".save-png");
    button.addEventListener("click", () => {
      Plotly.downloadImage(plot, { format: "png", filename: figure.name, width: 1000, height: figure.layout.height, scale: 2 });
    });
  };

  const plots = [...document.querySelectorAll("[data-figure]")];
  plots.forEach(draw);
  document.body.dataset.drawn = String(plots.length);

  const resized = (width) => plots.forEach((plot) => Plotly.relayout(plot, width === null ? { autosize: true } : { autosize: false, width }));
  window.addEventListener("beforeprint", () => resized(printWidth));
  window.addEventListener("afterprint", () => resized(null));
  document.querySelectorAll("button.print").forEach((button) => button.addEventListener("click", () => window.print()));

  // What was shown shall not stay on an unattended screen.
  const idle = Number(document.body.dataset.idleSeconds || 0);
  if (idle > 0) {
    window.setTimeout(() => window.location.replace("/"), (idle + 2) * 1000);
  }
  // A page that a browser kept for its back button may belong to a session that is over.
  window.addEventListener("pageshow", (event) => { if (event.persisted) { window.location.reload(); } });
})();
