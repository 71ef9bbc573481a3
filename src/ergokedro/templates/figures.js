// Pictures become interactive figures where the browser can unpack the library; else they stay.
const dark = matchMedia("(prefers-color-scheme: dark)");
async function loadLibrary() {
  const packed = document.getElementById("plotly").textContent;
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}
function draw(figure) {
  const json = figure.querySelector("script").textContent;
  const picture = figure.querySelector("img");
  const swap = JSON.parse(json).layout.meta.dark;
  const chart = JSON.parse(
    dark.matches ? json.replace(/#[0-9a-f]{6}/gi, (colour) => swap[colour] ?? colour) : json,
  );
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name));
  const { title, template, ...layout } = chart.layout;
  Object.assign(layout, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { ...layout.font, color: ink }, dragmode: false,
  });
  for (const axis of ["xaxis", "yaxis"])
    layout[axis] = { ...layout[axis], gridcolor: line, linecolor: line, zerolinecolor: line };
  let plot = figure.querySelector(".plot");
  if (!plot) {
    plot = document.createElement("div");
    plot.className = "plot";
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", picture.alt);
    picture.after(plot);
  }
  figure.classList.add("live");
  Plotly.react(plot, chart.data, layout, { displayModeBar: false, responsive: true });
}
function drawVisible() {
  for (const figure of document.querySelectorAll("figure:has(> script)"))
    if (!figure.closest("details:not([open])")) draw(figure);
}
if (window.DecompressionStream)
  loadLibrary().then(() => {
    drawVisible();
    dark.addEventListener("change", drawVisible);
    for (const section of document.querySelectorAll("details"))
      section.addEventListener("toggle", drawVisible);
  });
