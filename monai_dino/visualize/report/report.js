"use strict";
(() => {
  const announce = (text) => { document.getElementById("announcer").textContent = text; };

  // Tables: undefined values stay last whichever way a column is sorted.
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const table = head.closest("table");
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [row.cells[head.cellIndex].dataset.sort, row]);
      const defined = rows.filter(([value]) => value !== "");
      defined.sort(([a], [b]) => (falling ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...[...defined, ...rows.filter(([value]) => value === "")].map(([, row]) => row));
      announce(`sorted by ${button.textContent}, ${falling ? "falling" : "rising"}`);
    });
  }

  // Slices.
  for (const viewer of document.querySelectorAll(".viewer")) {
    const slices = [...viewer.querySelectorAll(".slice")];
    const slider = viewer.querySelector(".slider");
    const drawing = viewer.querySelector("svg");
    slider?.addEventListener("input", () => {
      slices.forEach((slice, index) => slice.toggleAttribute("hidden", index !== Number(slider.value)));
      const label = slices[Number(slider.value)].dataset.label;
      viewer.querySelector("output").textContent = label;
      slider.setAttribute("aria-valuetext", label);
      drawing.setAttribute("aria-label", `${viewer.querySelector("h4").textContent}, ${label}`);
    });
    for (const box of viewer.querySelectorAll("[data-mask]")) {
      box.addEventListener("change", () => {
        for (const mask of viewer.querySelectorAll(`.mask.${box.dataset.mask}`)) mask.toggleAttribute("hidden", !box.checked);
      });
    }
  }

  // Charts.
  for (const plot of document.querySelectorAll("[data-chart]")) {
    const data = JSON.parse(plot.dataset.chart);
    const cursor = plot.querySelector(".cursor");
    const readout = plot.parentElement.querySelector(".readout");
    const width = plot.querySelector("svg").viewBox.baseVal.width;
    let index = -1;
    const show = (next) => {
      index = Math.min(Math.max(next, 0), data.at.length - 1);
      cursor.setAttribute("x1", data.at[index] * width);
      cursor.setAttribute("x2", data.at[index] * width);
      const values = Object.entries(data.series).map(([name, y]) => `${name} ${y[index]}`);
      readout.textContent = `${data.name} ${data.x[index]}: ${values.join(", ")}`;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width;
      let nearest = 0;
      data.at.forEach((at, k) => { if (Math.abs(at - place) < Math.abs(data.at[nearest] - place)) nearest = k; });
      show(nearest);
    });
    plot.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: data.at.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(moves[event.key]);
    });
  }

  // A printed page has everything that is folded.
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("details:not([open])")) { element.open = true; folded.push(element); }
  });
  addEventListener("afterprint", () => { while (folded.length) folded.pop().open = false; });
})();
