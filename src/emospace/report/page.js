(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const chosen = {};

  // What is folded away has no width yet; it is drawn when it gets one.
  const draw = (plot) => {
    if (!plot.clientWidth) return;
    const chart = charts[plot.id];
    const alone = window.innerWidth < 1000 || !!document.documentElement.dataset.print;
    drawFigure(plot, chart, chosen[plot.dataset.group], chart.options.first || alone);
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

  // What a reader does not want is neither shown nor printed; the address may say so: ?sections=answer,manifest
  document.documentElement.dataset.script = "yes";
  const wanted = new URLSearchParams(location.search).get("sections")?.split(",");
  for (const box of document.querySelectorAll(".choose input")) {
    const section = document.getElementById(box.value);
    const show = () => {
      section.hidden = !box.checked;
      document.querySelector(`nav a[href="#${box.value}"]`).parentElement.hidden = !box.checked;
      plots.filter((plot) => !("width" in plot.dataset)).forEach(draw);
    };
    box.addEventListener("change", show);
    if (wanted && !wanted.includes(box.value)) {
      box.checked = false;
      show();
    }
  }

  const theme = document.querySelector(".theme");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => (theme.textContent = isDark() ? "Light" : "Dark");
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    drawAll();
  });
  nameTheme();

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
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      nameTheme();
      drawAll();
    });
    let before;
    addEventListener("beforeprint", () => {
      before = root.dataset.theme;
      document.documentElement.dataset.theme = "light";
      document.documentElement.dataset.print = "yes";
      drawAll();
    });
    addEventListener("afterprint", () => {
      if (before) root.dataset.theme = before;
      else delete root.dataset.theme;
      delete document.documentElement.dataset.print;
      drawAll();
    });
  }
})();
