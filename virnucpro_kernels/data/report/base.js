// What all pages have: figures that fit and can be saved, and the theme.

const report = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Figures -------------------------------------------------------------------------------------------------------------

// A copy of a figure that is as wide as `width` allows: `usermeta.room` is what axes and gaps take of it. An entry of a
// legend is some 100 pixels wide.
function fitted(spec, width) {
  const copy = structuredClone(spec);
  const parts = copy.hconcat ?? copy.vconcat ?? [copy];
  const each = (width - spec.usermeta.room) / (copy.hconcat?.length ?? 1);
  for (const part of parts) part.width = Math.max(Math.floor(each), 60);
  copy.config.legend.columns = Math.max(Math.floor(width / 100), 1);
  return copy;
}

async function draw(figure, spec) {
  const holder = figure.querySelector(".drawing");
  figure.spec = spec;
  figure.width = holder.clientWidth;
  figure.view?.finalize();
  const options = { actions: false, renderer: "svg", tooltip: { theme: "custom" } };
  figure.view = (await vegaEmbed(holder, fitted(spec, figure.width), options)).view;
  figure.view.addEventListener("click", (event, item) => {
    figure.dispatchEvent(new CustomEvent("mark", { bubbles: true, detail: item?.datum }));
  });
}

// Downloads are light whatever the page's theme, with colours in place of the page's variables.
async function save(figure, format) {
  const light = JSON.stringify(figure.spec).replace(/var\(--([a-z]+)\)/g, (_, name) => report.light[name]);
  const { view } = await vegaEmbed(document.createElement("div"), fitted(JSON.parse(light), 960), { actions: false });
  const link = document.createElement("a");
  link.href = await view.toImageURL(format, format === "png" ? 3 : 1);
  link.download = `${figure.dataset.name ?? figure.dataset.figure}.${format}`;
  link.click();
  view.finalize();
}

function addSaving(figure) {
  const group = document.createElement("div");
  group.className = "saving";
  for (const format of ["svg", "png"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = format.toUpperCase();
    button.setAttribute("aria-label", `Download this figure as ${format.toUpperCase()}`);
    button.addEventListener("click", () => save(figure, format));
    group.append(button);
  }
  figure.append(group);
}

const figures = [...document.querySelectorAll("figure[data-figure]")];
for (const figure of figures) draw(figure, report.figures[figure.dataset.figure]);
for (const figure of document.querySelectorAll("figure")) addSaving(figure);

let resizing;
window.addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => {
    for (const figure of document.querySelectorAll("figure")) {
      if (figure.spec && figure.querySelector(".drawing").clientWidth !== figure.width) draw(figure, figure.spec);
    }
  }, 150);
});

// Theme ---------------------------------------------------------------------------------------------------------------

const THEMES = { auto: "light dark", light: "light", dark: "dark" };
const system = window.matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";

function setTheme(name) {
  theme = name;
  document.documentElement.style.colorScheme = THEMES[name];
  document.documentElement.classList.toggle("dark", name === "dark" || (name === "auto" && system.matches));
  byId("theme").textContent = `Theme: ${name}`;
}
const names = Object.keys(THEMES);
byId("theme").addEventListener("click", () => setTheme(names[(names.indexOf(theme) + 1) % names.length]));
system.addEventListener("change", () => setTheme(theme));
setTheme(theme);
