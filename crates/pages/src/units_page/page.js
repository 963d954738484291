'use strict';
// A unit's values as colours behind the text: unpacked when it is shown, painted where the text is seen.
const data = JSON.parse(document.getElementById('data').textContent);
const element = id => document.getElementById(id);
const { steps, units, properties } = data;
const SHADES = 10, CHUNK = 512;
const letters = Array.from(data.text);
const shown = { unit: 0, property: 0, letter: null };

// ---- Values: a byte for each letter, deflated.
const unpacked = new Map();
function unpack(packed) {
  if (!unpacked.has(packed)) unpacked.set(packed, inflate(packed));
  return unpacked.get(packed);
}
async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Int8Array(await new Response(stream).arrayBuffer());
}
const valuesOf = unit => unpack(data.values[unit]);
const NO_MARKS = new Int8Array(letters.length);
const marksOf = property => properties.length ? unpack(properties[property].marks) : NO_MARKS;

// ---- The text: a span for each chunk, whose letters stand from the first; colours never move them.
const chunks = [];
for (let first = 0; first < letters.length; first += CHUNK) {
  const span = document.createElement('span');
  span.textContent = letters.slice(first, first + CHUNK).join('');
  span.firstChild.first = first;
  chunks.push(span);
}
element('text').append(...chunks);
const seen = new Set();
const marked = () => element('mark').checked;
const look = () => shown.unit + ' ' + (marked() ? shown.property : '');

function className(value, mark) {
  const shade = Math.round(Math.abs(value) * SHADES / steps);
  const colour = shade ? (value < 0 ? 'n' : 'p') + shade : '';
  return mark ? colour + ' m' + Math.ceil(mark * 5 / data.marks) : colour;
}

async function paint(index) {
  const span = chunks[index], wanted = look();
  if (span.look === wanted) return;
  const [values, marks] = await Promise.all([valuesOf(shown.unit), marked() ? marksOf(shown.property) : NO_MARKS]);
  if (span.look === wanted || look() !== wanted) return;
  const runs = document.createDocumentFragment(), last = Math.min((index + 1) * CHUNK, letters.length);
  for (let start = index * CHUNK, end; start < last; start = end) {
    const name = className(values[start], marks[start]);
    for (end = start + 1; end < last && className(values[end], marks[end]) === name;) end++;
    const text = document.createTextNode(letters.slice(start, end).join(''));
    text.first = start;
    if (!name) { runs.append(text); continue; }
    const run = document.createElement('span');
    run.className = name;
    run.append(text);
    runs.append(run);
  }
  span.look = wanted;
  span.replaceChildren(runs);
}
const paintSeen = () => Promise.all([...seen].map(paint));

// ---- Which unit is shown.
const number = (value, digits = 2) => value === null || Number.isNaN(value) ? '–'
  : value.toFixed(digits).replace(/^-(0\.0*)$/, '$1').replace('-', '−');
const address = (unit, property) => '#u' + unit + (property === undefined ? '' : '.p' + property);
const score = (unit, property) => {
  const thousandths = properties[property].scores[unit];
  return thousandths === null ? null : thousandths / 1000;
};
// The units that follow a property best.
function ranked(property) {
  const known = [...units.keys()].filter(unit => score(unit, property) !== null);
  return known.sort((a, b) => Math.abs(score(b, property)) - Math.abs(score(a, property)));
}

function link(unit, property, text) {
  const a = document.createElement('a');
  a.href = address(unit, property);
  a.textContent = text;
  return a;
}

async function show(unit, property) {
  shown.unit = unit;
  if (property !== undefined) shown.property = property;
  element('unit').textContent = units[unit];
  element('property').value = String(shown.property);
  const best = [...properties.keys()].filter(index => score(unit, index) !== null);
  best.sort((a, b) => Math.abs(score(unit, b)) - Math.abs(score(unit, a)));
  element('scores').replaceChildren(...best.slice(0, 4).map(index => {
    const item = document.createElement('li');
    item.append(link(unit, index, properties[index].name), ' ' + number(score(unit, index)));
    return item;
  }));
  for (const a of document.querySelectorAll('.bars a')) {
    const chosen = a.hash === address(unit, shown.property);
    if (chosen) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current');
  }
  await paintSeen();
  await tell();
}

function step(by) {
  const unit = (shown.unit + by + units.length) % units.length;
  history.replaceState(null, '', address(unit, shown.property));
  show(unit).then(sayUnit).catch(failed);
}

function follow() {
  const found = /^#u(\d+)(?:\.p(\d+))?$/.exec(location.hash);
  const unit = found ? Number(found[1]) : properties[0]?.best ?? 0;
  const property = found?.[2] === undefined ? undefined : Number(found[2]);
  if (unit < units.length && (property === undefined || property < properties.length)) {
    show(unit, property).then(sayUnit).catch(failed);
  }
}

// ---- The value of one character.
const NAMES = { ' ': 'space', '\n': 'line end', '\t': 'tab', '\r': 'carriage return', '\u00a0': 'wide space' };
const letterName = letter => NAMES[letter] ?? (/^[\p{L}\p{N}\p{P}\p{S}]$/u.test(letter) ? letter
  : 'U+' + letter.codePointAt(0).toString(16).toUpperCase().padStart(4, '0'));

async function tell() {
  const at = shown.letter;
  if (at === null) return;
  const [values, marks] = await Promise.all([valuesOf(shown.unit), marksOf(shown.property)]);
  const mark = marks[at] / data.marks;
  const holds = mark ? ', ' + properties[shown.property].name + (mark < 1 ? ' ' + number(mark) : '') : '';
  element('value').textContent = number(values[at] / steps) + ' at ' + letterName(letters[at]) + holds;
  box(at);
}

// The text node that has this letter, as a range of that letter.
function rangeOf(letter) {
  const walk = document.createTreeWalker(chunks[Math.floor(letter / CHUNK)], NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const own = Array.from(node.data), before = letter - node.first;
    if (before >= own.length) continue;
    const range = document.createRange(), start = own.slice(0, before).join('').length;
    range.setStart(node, start);
    range.setEnd(node, start + own[before].length);
    return range;
  }
  return null;
}

function box(letter) {
  const cursor = element('cursor'), around = element('around').getBoundingClientRect();
  const at = rangeOf(letter)?.getBoundingClientRect();
  if (!at) return;
  cursor.hidden = false;
  cursor.style.left = at.left - around.left + 'px';
  cursor.style.top = at.top - around.top + 'px';
  cursor.style.width = Math.max(at.width, 3) + 'px';
  cursor.style.height = at.height + 'px';
}

function letterAt(x, y) {
  let node, offset;
  if (document.caretPositionFromPoint) {
    const caret = document.caretPositionFromPoint(x, y);
    if (caret) ({ offsetNode: node, offset } = caret);
  } else {
    const caret = document.caretRangeFromPoint(x, y);
    if (caret) ({ startContainer: node, startOffset: offset } = caret);
  }
  if (node?.first === undefined || !element('text').contains(node)) return null;
  // A caret stands between two letters: the pointer is over the one or the other.
  const after = node.first + Array.from(node.data.slice(0, offset)).length;
  const over = letter => [...rangeOf(letter)?.getClientRects() ?? []].some(
    box => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
  return [after, after - 1].find(letter => letter >= 0 && letter < letters.length && over(letter)) ?? null;
}

function point(event) {
  const letter = letterAt(event.clientX, event.clientY);
  if (letter === null || letter === shown.letter) return;
  shown.letter = letter;
  tell().catch(failed);
}

function move(by) {
  shown.letter = Math.min(Math.max((shown.letter ?? -1) + by, 0), letters.length - 1);
  tell().then(() => {
    element('cursor').scrollIntoView({ block: 'nearest' });
    say(element('value').textContent);
  }).catch(failed);
}

// ---- Search: numbers and words of units' names, or a property, whose best units come first.
const parts = name => name.toLowerCase().match(/\p{L}+|\d+/gu) ?? [];
const names = units.map(parts);
const MOST = 24;

function search() {
  const query = element('find').value, wanted = parts(query), list = element('found');
  const items = [];
  if (wanted.length) {
    const matches = name => wanted.every(part => name.some(own => /\d/.test(part) ? own === part : own.startsWith(part)));
    // Words are of properties first: "line" and "layer" begin alike with "l".
    const text = query.trim().toLowerCase();
    properties.forEach((property, index) => {
      if (!property.name.toLowerCase().includes(text)) return;
      for (const unit of ranked(index).slice(0, 8)) {
        items.push(item(unit, index, property.name + ' ' + number(score(unit, index))));
      }
    });
    const found = [...units.keys()].filter(unit => matches(names[unit]));
    // The number of the unit before that of its layer.
    const last = unit => names[unit].at(-1) === wanted.at(-1) ? 0 : 1;
    found.sort((a, b) => last(a) - last(b));
    for (const unit of found.slice(0, MOST)) items.push(item(unit));
    if (found.length > MOST) items.push(note('and ' + (found.length - MOST) + ' more'));
    if (!items.length) items.push(note('no unit and no property is called so'));
  }
  list.replaceChildren(...items);
}
function note(text) {
  const li = document.createElement('li');
  li.className = 'faint';
  li.textContent = text;
  return li;
}
function item(unit, property, beside) {
  const li = document.createElement('li');
  li.append(link(unit, property, units[unit]));
  if (beside) {
    const span = document.createElement('span');
    span.className = 'faint';
    span.textContent = ' ' + beside;
    li.append(span);
  }
  return li;
}

// ---- What people do.
const say = text => { element('said').textContent = text; };
const sayUnit = () => say([units[shown.unit], element('scores').firstChild?.textContent].join(', '));
function failed(error) {
  element('fault').hidden = false;
  element('fault').textContent = 'DecompressionStream' in window ? 'The values cannot be unpacked: ' + error.message
    : 'This browser is too old to unpack the values; any of 2023 or later does.';
}
function key(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target === element('find')) {
    if (event.key === 'Enter') element('found').querySelector('a')?.click();
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  if (event.target.matches('input:not([type=checkbox]), select')) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by) (event.shiftKey ? move : step)(by);
  else if (event.key === '/') element('find').focus();
  else if (event.key === 'm') element('mark').click();
  else return;
  event.preventDefault();
}

for (const [index, property] of properties.entries()) {
  element('property').append(new Option(property.name, index));
}
element('marks').hidden = !properties.length;
element('back').onclick = () => step(-1);
element('on').onclick = () => step(1);
element('mark').onchange = () => paintSeen().catch(failed);
element('property').onchange = event => {
  const property = Number(event.target.value);
  history.replaceState(null, '', address(shown.unit, property));
  show(shown.unit, property).catch(failed);
};
element('find').oninput = search;
element('search').onsubmit = event => event.preventDefault();
element('text').onpointermove = point;
element('text').onpointerdown = point;
addEventListener('keydown', key);
addEventListener('hashchange', () => {
  follow();
  // On a phone the text is below what was tapped.
  if (element('text').getBoundingClientRect().top > innerHeight) element('bar').scrollIntoView();
});
addEventListener('resize', () => tell().catch(failed));
const observer = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const index = chunks.indexOf(entry.target);
    if (entry.isIntersecting) seen.add(index); else seen.delete(index);
  }
  paintSeen().catch(failed);
}, { rootMargin: '50% 0px' });
chunks.forEach(span => observer.observe(span));
follow();
