"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const family = getComputedStyle(document.body).fontFamily;
  const chosen = {};
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const resolve = (value) => {
    if (typeof value === "string") {
      return value.startsWith("var(--") ? colour(value.slice(4, -1)) : value;
    }
    if (Array.isArray(value)) return value.map(resolve);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
    }
    return value;
  };

  const merge = (base, over) => {
    const merged = { ...base };
    for (const [key, value] of Object.entries(over)) {
      const both = value && base[key] && !Array.isArray(value) && typeof value === "object";
      merged[key] = both ? merge(base[key], value) : value;
    }
    return merged;
  };

  const base = () => {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--quiet"), linecolor: colour("--line"), fixedrange: true, title: { standoff: 8 } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family, size: 12, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { family, size: 13, color: colour("--ink") }, align: "left" },
      margin: { l: 52, r: 12, t: 12, b: 46 },
      xaxis: axis,
      yaxis: axis,
      showlegend: false,
      dragmode: false,
      hovermode: "closest",
    };
  };

  const square = (plot, layout) => {
    const { l, r, t, b } = layout.margin;
    return Math.round(plot.clientWidth - l - r + t + b);
  };

  // Rows are named where each has room for a line of text; otherwise the row above has the names.
  const rows = (plot, layout, options) => {
    const alone = window.innerWidth < 1000 || !!document.documentElement.dataset.print;
    const named = options.first || alone;
    layout.margin = { ...layout.margin, l: named ? 112 : 4 };
    const pitch = (plot.clientWidth - layout.margin.l - layout.margin.r) / options.rows.length;
    layout.yaxis.showticklabels = named;
    layout.yaxis.ticks = "";
    layout.yaxis.tickmode = "array";
    layout.yaxis.tickvals = options.rows;
    layout.yaxis.ticktext = options.rows;
    layout.yaxis.tickfont = { size: Math.max(6, Math.min(10.5, pitch * 1.02)) };
  };

  const measure = document.createElement("canvas").getContext("2d");
  const cross = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;

  // Greedy placement: each label takes the nearest free spot around its point, or stays on hover alone.
  const place = (labels, trace, layout, width, height) => {
    const { l, r, t, b } = layout.margin;
    const [w, h] = [width - l - r, height - t - b];
    const [x0, x1] = layout.xaxis.range;
    const [y0, y1] = layout.yaxis.range;
    const points = labels.map((label, i) => ({
      ...label,
      dx: trace.x[i],
      dy: trace.y[i],
      x: ((trace.x[i] - x0) / (x1 - x0)) * w,
      y: (1 - (trace.y[i] - y0) / (y1 - y0)) * h,
    }));
    const size = w < 360 ? 10 : 11.5;
    const dots = points.map((p) => ({ x0: p.x - 5, x1: p.x + 5, y0: p.y - 5, y1: p.y + 5 }));
    const taken = [];
    const crowd = (p) => points.filter((q) => Math.hypot(p.x - q.x, p.y - q.y) < 40).length;
    const order = [...points].sort((p, q) => q.bold - p.bold || crowd(p) - crowd(q));
    const annotations = [];
    for (const p of order) {
      measure.font = `${p.bold ? 700 : 400} ${size}px ${family}`;
      const half = measure.measureText(p.text).width / 2 + 2;
      const tall = size * 0.62;
      let spot = null;
      for (let reach = 4; reach <= (w < 360 ? 40 : 64) && !spot; reach += 6) {
        for (let turn = 0; turn < 16 && !spot; turn += 1) {
          const angle = ([0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11][turn] * Math.PI) / 8;
          const ax = Math.cos(angle) * (half + 3 + reach);
          const ay = -Math.sin(angle) * (tall + 3 + reach);
          const box = { x0: p.x + ax - half, x1: p.x + ax + half, y0: p.y + ay - tall, y1: p.y + ay + tall };
          const inside = box.x0 >= 0 && box.x1 <= w && box.y0 >= 0 && box.y1 <= h;
          if (inside && !taken.some((q) => cross(box, q)) && !dots.some((q) => cross(box, q))) spot = { ax, ay, box, reach };
        }
      }
      if (!spot) continue;
      taken.push(spot.box);
      annotations.push({
        x: p.dx, y: p.dy, ax: spot.ax, ay: spot.ay, text: p.bold ? `<b>${p.text}</b>` : p.text, font: { size },
        showarrow: true, arrowhead: 0, arrowwidth: 0.8, arrowcolor: spot.reach > 12 ? colour("--quiet") : "rgba(0,0,0,0)",
        standoff: 4, borderpad: 0, xanchor: "center", yanchor: "middle", captureevents: false,
      });
    }
    return annotations;
  };

  // What is folded away has no width yet; it is drawn when it gets one.
  const draw = (plot) => {
    if (!plot.clientWidth) return;
    const chart = charts[plot.id];
    const variant = chart.variants[chosen[plot.dataset.group]] || Object.values(chart.variants)[0];
    const data = resolve(variant.data);
    const layout = merge(base(), resolve(variant.layout));
    if (chart.options.rows) rows(plot, layout, chart.options);
    if (chart.shape === "square") {
      layout.height = square(plot, layout);
      plot.style.height = `${layout.height}px`;
      plot.style.aspectRatio = "auto";
    } else {
      layout.height = plot.clientHeight;
    }
    layout.width = plot.clientWidth;
    const labels = variant.labels || chart.options.labels;
    if (labels) layout.annotations = place(labels, data[0], layout, layout.width, layout.height);
    plot.dataset.width = layout.width;
    Plotly.react(plot, data, layout, { displayModeBar: false, responsive: false });
  };

  const plots = [...document.querySelectorAll(".plot")];
  const drawAll = () => plots.forEach((plot) => {
    delete plot.dataset.width;
    draw(plot);
  });

  for (const group of document.querySelectorAll(".switch")) {
    group.addEventListener("change", (event) => {
      chosen[group.dataset.group] = event.target.value;
      for (const input of document.querySelectorAll(`.switch[data-group="${group.dataset.group}"] input`)) {
        input.checked = input.value === event.target.value;
      }
      for (const select of document.querySelectorAll(`.switch[data-group="${group.dataset.group}"] select`)) select.value = event.target.value;
      plots.filter((plot) => plot.dataset.group === group.dataset.group).forEach(draw);
    });
  }

  for (const choice of document.querySelectorAll(".choice")) {
    choice.querySelector("select").addEventListener("change", (event) => {
      const top = choice.getBoundingClientRect().top;
      for (const other of document.querySelectorAll(`.choice[data-group="${choice.dataset.group}"]`)) {
        const options = [...other.children].filter((child) => child.matches(".option"));
        if (!options.some((option) => option.dataset.key === event.target.value)) continue;
        other.querySelector("select").value = event.target.value;
        for (const option of options) option.hidden = option.dataset.key !== event.target.value;
      }
      plots.filter((plot) => !("width" in plot.dataset)).forEach(draw);
      scrollBy({ top: choice.getBoundingClientRect().top - top, behavior: "instant" });
    });
  }

  for (const button of document.querySelectorAll(".save")) {
    button.addEventListener("click", () => {
      const plot = document.getElementById(button.dataset.save);
      Plotly.downloadImage(plot, { format: "svg", filename: plot.id, width: plot.clientWidth, height: plot.clientHeight });
    });
  }

  for (const filter of document.querySelectorAll(".filter")) {
    const body = document.querySelector(`#${CSS.escape(filter.dataset.table)} tbody`);
    const all = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase(), first: row.cells[0].textContent }));
    const [search, choice, said] = ["input", "select", "output"].map((name) => filter.querySelector(name));
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const { row, text, first } of all) {
        const keep = text.includes(wanted) && (!choice.value || first === choice.value);
        row.hidden = !keep;
        shown += keep;
      }
      said.textContent = `${shown.toLocaleString("en")} of ${all.length.toLocaleString("en")} shown`;
    };
    search.addEventListener("input", apply);
    choice.addEventListener("change", apply);
    apply();
  }

  const key = (cell) => ("v" in cell.dataset ? Number(cell.dataset.v) : NaN);
  for (const head of document.querySelectorAll("th button")) {
    head.addEventListener("click", () => {
      const cell = head.parentElement;
      const body = cell.closest("table").tBodies[0];
      const way = cell.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of cell.parentElement.cells) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const at = cell.cellIndex;
      const numeric = cell.classList.contains("num");
      const compare = (a, b) => {
        if (!numeric) return way * a.cells[at].textContent.localeCompare(b.cells[at].textContent);
        const [x, y] = [key(a.cells[at]), key(b.cells[at])];
        return Number.isNaN(x) - Number.isNaN(y) || way * (x - y);
      };
      body.append(...[...body.rows].sort(compare));
    });
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);

  if (plots.length) {
    drawAll();
    let waiting = 0;
    const resized = new ResizeObserver(() => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => plots.filter((plot) => plot.clientWidth !== Number(plot.dataset.width || 0)).forEach(draw));
    });
    plots.forEach((plot) => resized.observe(plot.parentElement));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    addEventListener("beforeprint", () => {
      document.documentElement.dataset.theme = "light";
      document.documentElement.dataset.print = "yes";
      drawAll();
    });
    addEventListener("afterprint", () => {
      delete document.documentElement.dataset.theme;
      delete document.documentElement.dataset.print;
      drawAll();
    });
  }
})();
