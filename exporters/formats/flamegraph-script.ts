// What makes a flame graph answer to the mouse and the keyboard. It is a constant: no name of a
// profile is part of it, and it writes names as text only. It reads the picture: each <rect> of
// #frames has x and width in millionths of the whole, so that zooming is one change of that <svg>'s
// viewBox, and a <title> of name, value and module in lines.

/** Sizes that picture and script share, in pixels. */
export const sizes = {
  rowPx: 16,
  /** Width of one character of a label. */
  charPx: 6.65,
  labelPadPx: 3,
  /** Fewer characters than this are no label. */
  leastColumns: 3,
  /** Frames at least this wide get a border. */
  borderFromPx: 4,
} as const;

export const flamegraphScript = `(() => {
'use strict';
const svg = document.currentScript.closest('svg');
const byId = (id) => svg.querySelector('#' + id);
const [graph, labels, details, matched, searchButton, resetButton] =
  ['frames', 'labels', 'details', 'matched', 'search', 'reset'].map(byId);
const [left, top, widthPx, heightPx] =
  ['x', 'y', 'width', 'height'].map((name) => Number(graph.getAttribute(name)));
const frames = [...graph.querySelectorAll('rect')].map((rect) => {
  const [name, value, module] = rect.firstElementChild.textContent.split('\\n');
  const x = Number(rect.getAttribute('x'));
  const width = Number(rect.getAttribute('width'));
  const y = Number(rect.parentNode.dataset.y);
  return { rect, name, value, module: module ?? '', x, width, end: x + width, y };
});
const frameOf = new Map(frames.map((frame) => [frame.rect, frame]));
const all = frames[0];
let view = all;
let pattern = null;

function zoomTo(frame) {
  view = frame;
  graph.setAttribute('viewBox', [frame.x, 0, frame.width, heightPx].join(' '));
  resetButton.classList.toggle('hidden', frame === all);
  const scale = widthPx / frame.width;
  for (const { rect, x, width, end, y } of frames) {
    rect.classList.toggle('b', width * scale >= ${sizes.borderFromPx});
    rect.classList.toggle('under', y > frame.y && x <= frame.x && end >= frame.end);
  }
  labels.replaceChildren(...frames.map(labelOf).filter((label) => label !== null));
}

function labelOf({ name, x, end, y }) {
  const scale = widthPx / view.width;
  const from = Math.max(x, view.x);
  const spacePx = (Math.min(end, view.end) - from) * scale - 2 * ${sizes.labelPadPx};
  const columns = Math.floor(spacePx / ${sizes.charPx});
  if (columns < ${sizes.leastColumns}) return null;
  const label = document.createElementNS(svg.namespaceURI, 'text');
  label.setAttribute('x', left + (from - view.x) * scale + ${sizes.labelPadPx});
  label.setAttribute('y', top + y + ${sizes.rowPx - 5});
  const characters = [...name];
  const isCut = characters.length > columns;
  label.textContent = isCut ? characters.slice(0, columns - 1).join('') + '\\u2026' : name;
  return label;
}

function search(term) {
  pattern = null;
  matched.textContent = '';
  try {
    if (term) pattern = new RegExp(term, /[A-Z]/.test(term) ? '' : 'i');
  } catch {
    matched.textContent = 'not a regular expression: ' + term;
  }
  const matches = (text) => pattern !== null && pattern.test(text);
  const hits = frames.filter(({ name, module }) => matches(name) || matches(module));
  for (const { rect } of frames) rect.classList.remove('hit');
  for (const { rect } of hits) rect.classList.add('hit');
  // A frame below another that matched counts with it.
  let end = -1;
  let sum = 0;
  for (const hit of hits.sort((a, b) => a.x - b.x || b.width - a.width)) {
    if (hit.x < end) continue;
    sum += hit.width;
    end = hit.end;
  }
  const percent = ((100 * sum) / all.width).toFixed(2);
  if (pattern !== null) matched.textContent = 'matched: ' + percent + ' %';
  searchButton.textContent = pattern === null ? 'Search' : 'Clear search';
}

function askForSearch() {
  const question = 'Regular expression; capitals count only if it has one';
  const term = window.prompt(question, pattern?.source ?? '');
  if (term !== null) search(term);
}

graph.addEventListener('click', (event) => {
  const frame = frameOf.get(event.target);
  if (frame) zoomTo(frame);
});
graph.addEventListener('mouseover', (event) => {
  const { name, module, value } = frameOf.get(event.target) ?? {};
  details.textContent = [name, module, value].filter(Boolean).join('  \\u00b7  ');
});
graph.addEventListener('mouseleave', () => (details.textContent = ''));
resetButton.addEventListener('click', () => zoomTo(all));
searchButton.addEventListener('click', () => (pattern === null ? askForSearch() : search('')));
document.addEventListener('keydown', (event) => {
  if (event.key === '/' || (event.key === 'f' && (event.ctrlKey || event.metaKey))) {
    event.preventDefault();
    askForSearch();
  } else if (event.key === 'Escape') {
    if (view === all) search('');
    else zoomTo(all);
  }
});
searchButton.classList.remove('hidden');
})();`;
