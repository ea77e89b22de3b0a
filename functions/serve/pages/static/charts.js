// Draws each chart from the page's own JSON, without `eval` and without inline styles, so that the
// page's Content-Security-Policy can forbid both.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;

const NARROW = 480; // pixels

const light = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#b8a600"];
const bright = ["#56a8e0", "#e69f00", "#2fbf93", "#e39cc4", "#8fd0f5", "#f0803c", "#b0b0b0", "#d4c52a"];

// The colours that a drawing names, as they are seen on black; data are left alone.
function seen({ data, ...drawing }) {
  if (!dark.matches) return { data, ...drawing };
  const text = JSON.stringify(drawing).replace(/#[0-9a-f]{6}/g, (one) => bright[light.indexOf(one)] ?? one);
  return { data, ...JSON.parse(text) };
}

function colours() {
  const of = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = of("--ink");
  const soft = of("--soft");
  const line = of("--line");
  return {
    ...(dark.matches ? { range: { category: bright }, mark: { color: bright[0] } } : {}),
    axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: soft, tickColor: soft },
    legend: { labelColor: ink, titleColor: ink, symbolBaseFillColor: soft, symbolBaseStrokeColor: soft },
    title: { color: ink },
    text: { fill: ink },
    rule: { color: soft },
  };
}

// The words of a legend stand in as many columns as there is room for, one on a narrow screen; names of bars take no more than
// their share, and a map is no higher than it is wide.
function fitted(spec, config, width) {
  const longest = Math.max(3, ...words(spec).map((text) => text.length));
  const room = Math.max(2, Math.floor((width - 60) / (6.2 * longest + 28)));
  config.legend.columns = width < NARROW ? 1 : room;
  config.axisY.labelLimit = Math.max(110, Math.floor(0.42 * width));
  return spec.projection ? { height: Math.min(spec.height, Math.round(0.85 * width)) } : {};
}

function words(spec) {
  const colours = [spec, ...(spec.layer ?? [])].map((part) => part.encoding?.color ?? {});
  return colours.filter((each) => each.type !== "quantitative").flatMap((each) =>
    [...(each.scale?.domain ?? []), each.datum, ...(each.field ? spec.data.values.map((row) => row[each.field]) : [])]
  ).map((word) => String(word ?? ""));
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
  const spec = seen(JSON.parse(block.textContent));
  const own = structuredClone(spec.config ?? {});
  const set = colours();
  const config = { ...own };
  for (const part of Object.keys(set)) config[part] = { ...(own[part] ?? {}), ...set[part] };
  await vegaEmbed(place, { ...spec, ...fitted(spec, config, place.clientWidth), config }, {
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
