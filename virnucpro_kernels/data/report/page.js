// The report at work: the table of contigs, and the track of the contig that is chosen.
import DataTable from "datatables";

const number = new Intl.NumberFormat("en");

// Table of contigs ----------------------------------------------------------------------------------------------------

const text = DataTable.render.text();
const digits = { display: (value) => (value === null ? "–" : number.format(value)) };
const decimals = (places) => ({ display: (value) => (value === null ? "–" : value.toFixed(places)) });
const percent = { display: (value) => (value === null ? "–" : `${Math.round(100 * value)} %`) };
const word = { ...text, display: (value) => text.display(value === "NA" || value === "" ? "–" : value) };
const RENDERERS = { text, word, digits, percent, p: decimals(4) };
const columns = report.columns.map(({ kind, ...column }) => ({
  ...column,
  render: RENDERERS[kind],
  className: kind === "text" || kind === "word" ? "dt-left" : "dt-right",
  createdCell: column.name === "call" ? (cell, value) => cell.classList.add(`call-${value}`) : undefined,
}));
const place = Object.fromEntries(report.columns.map(({ name }, index) => [name, index]));

const exported = { orthogonal: "filter", columns: ":visible" };
const table = new DataTable("#table", {
  data: report.contigs,
  columns,
  order: [],
  pageLength: 10,
  lengthMenu: [10, 25, 50, 100],
  autoWidth: false,
  layout: {
    topStart: {
      buttons: [
        { extend: "copy", text: "Copy", title: null, footer: false, exportOptions: exported },
        { extend: "csv", text: "Download TSV", fieldSeparator: "\t", fieldBoundary: "", extension: ".tsv", filename: "contigs", footer: false, exportOptions: exported },
        { extend: "colvis", text: "Columns" },
      ],
    },
    topEnd: { search: { text: "", placeholder: "Search name or description" } },
    bottomStart: ["info", "pageLength"],
    bottomEnd: "paging",
  },
  language: {
    info: "_START_ to _END_ of _TOTAL_ contigs",
    infoFiltered: "(of _MAX_)",
    infoEmpty: "no contig",
    emptyTable: "There are no contigs.",
    zeroRecords: "No contig is like this.",
    lengthMenu: "_MENU_ a page",
  },
  createdRow: (row, data, index) => {
    row.tabIndex = 0;
    row.dataset.row = index;
  },
});

for (const name of ["sample", "call", "tier"]) {
  byId(`filter-${name}`)?.addEventListener("change", ({ target }) => {
    const wanted = target.value;
    table.column(place[name]).search.fixed("only", wanted ? (value) => value === wanted : null).draw();
  });
}
byId("filter-length").addEventListener("input", ({ target }) => {
  const least = Number(target.value);
  table.column(place.length).search.fixed("least", least ? (value) => Number(value) >= least : null).draw();
});

const body = table.table().body();
body.addEventListener("click", ({ target }) => {
  const row = target.closest("tr[data-row]");
  if (row) choose(Number(row.dataset.row));
});
body.addEventListener("keydown", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (!row) return;
  const steps = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling };
  if (event.key in steps) steps[event.key]?.focus();
  else if (event.key === "Enter" || event.key === " ") choose(Number(row.dataset.row));
  else return;
  event.preventDefault();
});
table.on("draw", mark);

// Track of the chosen contig ------------------------------------------------------------------------------------------

const track = byId("track");
let chosen = null;

function mark() {
  for (const row of body.querySelectorAll("tr[data-row]")) {
    const is = Number(row.dataset.row) === chosen;
    row.classList.toggle("chosen", is);
    row.setAttribute("aria-selected", is);
  }
}

// Where the viral regions of a contig are, with bases counted from 1.
function words(regions) {
  const places = regions.slice(0, 3).map(({ start, end, position, p_virus }) =>
    position === "whole" ? "all of it" : `${number.format(start + 1)} to ${number.format(end)} (${p_virus.toFixed(2)})`);
  return `viral region${regions.length > 1 ? "s" : ""}: ${places.join(", ")}${regions.length > 3 ? ", …" : ""}`;
}

// Show the track of a row of the table; `jump` scrolls to it.
function choose(index, jump = false) {
  chosen = index;
  const row = report.contigs[index];
  const value = (name) => row[place[name]];
  const found = report.tracks[index];
  track.hidden = false;
  byId("track-name").textContent = value("contig");
  const p = value("p_virus");
  byId("track-facts").textContent = [
    report.severalSamples ? `sample ${value("sample")}` : null,
    `${number.format(value("length"))} bp`,
    value("call") === "none" ? `no call (${value("status").replaceAll("_", " ")})` : value("call"),
    value("tier") === "NA" ? null : `tier ${value("tier")}`,
    p === null ? null : `p_virus ${p.toFixed(4)}`,
    `${value("scored_windows")} of ${value("windows")} windows scored`,
    found?.regions.length ? words(found.regions) : null,
    found?.joined > 1 ? `each mark stands for ${found.joined} windows` : null,
    value("description") || null,
  ].filter(Boolean).join(" · ");
  mark();
  if (found) {
    const spec = structuredClone(report.trackFigures[report.trackFigureOf[value("sample")]]);
    const windows = found.start.map((start, i) => ({
      window: i * found.joined + 1,
      start,
      end: found.end[i],
      frames: found.frames[i],
      best_frame: found.best_frame[i],
      p_virus: found.p_virus[i],
    }));
    Object.assign(spec.datasets, { windows, regions: found.regions });
    spec.params.find(({ name }) => name === "contig_length").value = value("length");
    draw(track, spec);
    track.dataset.name = `track ${value("contig")}`.replaceAll(/[^\w.-]+/g, "-");
  } else {
    track.view?.finalize();
    track.view = track.spec = null;
    track.querySelector(".drawing").textContent = value("scored_windows")
      ? "The page has no room for this track: virnucpro plot draws it."
      : "No window of this contig has a score, so there is no track.";
  }
  track.classList.toggle("empty", !found);
  if (jump) track.scrollIntoView({ block: "start" });
}

function step(by) {
  const order = table.rows({ search: "applied", order: "applied" }).indexes().toArray();
  const next = order[order.indexOf(chosen) + by];
  if (next === undefined) return;
  choose(next);
  table.page(Math.floor(order.indexOf(next) / table.page.len())).draw("page");
}
document.addEventListener("mark", ({ detail }) => {
  if (detail?.row !== undefined) choose(detail.row, true);
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
if (report.contigs.length) choose(0);

// Copying, table of samples -------------------------------------------------------------------------------------------

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.innerText);
    button.textContent = "Copied";
  });
}

if (report.severalSamples) {
  const long = document.querySelectorAll("#samples tbody tr").length > 25;
  new DataTable("#samples", { order: [], paging: long, searching: long, info: long, pageLength: 25, autoWidth: false });
}

document.documentElement.dataset.ready = "true";
