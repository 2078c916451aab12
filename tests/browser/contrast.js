// The contrast of every text that can be seen with the ground it stands on, by WCAG 2:
// [[ratio, what], …], the lowest first. Disabled controls are left out, as WCAG does.

const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = "#000";
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}

const over = ([r, g, b, a], [R, G, B]) => [r, g, b].map((v, i) => v * a + [R, G, B][i] * (1 - a));

function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ratio(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

/** The ground behind an element, all layers laid over each other, and how opaque its text is. */
function ground(element) {
  const layers = [];
  let opacity = 1;
  for (let at = element; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    opacity *= Number(style.opacity);
    layers.unshift(rgba(style.backgroundColor));
  }
  return [layers.reduce((below, layer) => over(layer, below), [255, 255, 255]), opacity];
}

function ownText(element) {
  return [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE)
    .map((node) => node.data.trim()).join(" ").trim();
}

const found = [];
for (const element of document.body.querySelectorAll("*")) {
  const text = ownText(element);
  if (!text || !element.checkVisibility() || element.closest(":disabled, script, noscript, select, title")) continue;
  const style = getComputedStyle(element);
  const [below, opacity] = ground(element);
  const [r, g, b, a] = rgba(element instanceof SVGElement ? style.fill : style.color);
  const words = `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""} "${text.slice(0, 30)}"`;
  found.push([ratio(over([r, g, b, a * opacity], below), below), words]);
}
const colour = (name) => rgba(getComputedStyle(document.body).getPropertyValue(name).trim());
for (const name of ["--warn", "--ink-2"]) { // what the chart is written with
  found.push([ratio(colour(name).slice(0, 3), colour("--card").slice(0, 3)), `${name} on the chart`]);
}
return found.sort((a, b) => a[0] - b[0]);
