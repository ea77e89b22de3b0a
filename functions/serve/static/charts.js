// Draws each chart from the page's own JSON, without `eval` and without inline styles, so that the
// page's Content-Security-Policy can forbid both.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;

function colours() {
  const of = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = of("--ink");
  const soft = of("--soft");
  const line = of("--line");
  const bright = ["#56a8e0", "#e69f00", "#2fbf93", "#e39cc4", "#8fd0f5", "#f0803c", "#b0b0b0", "#d4c52a"];
  return {
    ...(dark.matches ? { range: { category: bright }, mark: { color: bright[0] } } : {}),
    axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft },
    legend: { labelColor: ink, titleColor: ink },
    title: { color: ink },
    text: { fill: ink },
    rule: { color: soft },
  };
}

function show(handler, event, item, value) {
  if (!value) {
    tip.hidden = true;
    return;
  }
  const lines = Object.entries(value).map(([name, text]) => {
    const line = document.createElement("div");
    for (const each of [name, text ?? "–"]) {
      line.appendChild(document.createElement("span")).textContent = String(each);
    }
    return line;
  });
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 12, innerWidth - box.width - 8);
  const above = event.clientY - box.height - 12;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 8 ? above : event.clientY + 16}px`;
}

async function draw(block) {
  const place = document.getElementById(block.dataset.chart);
  const spec = JSON.parse(block.textContent);
  const own = spec.config ?? {};
  const set = colours();
  const config = { ...own };
  for (const part of Object.keys(set)) config[part] = { ...(own[part] ?? {}), ...set[part] };
  config.legend.columns = Math.max(2, Math.floor(place.clientWidth / 130));
  await vegaEmbed(place, { ...spec, config }, {
    mode: "vega-lite",
    actions: false,
    ast: true,
    defaultStyle: false,
    renderer: "svg",
    logLevel: 1, // errors alone: a layout that gives way to a fixed height is none
    tooltip: show,
    formatLocale: spec.usermeta.locale,
  });
}

async function drawAll() {
  for (const block of document.querySelectorAll("script[data-chart]")) {
    try {
      await draw(block);
    } catch (error) {
      console.error(block.dataset.chart, error);
      document.getElementById(block.dataset.chart).textContent =
        "This chart could not be drawn; the table has the same rows.";
    }
  }
}

document.body.appendChild(tip);
drawAll();
dark.addEventListener("change", drawAll);
