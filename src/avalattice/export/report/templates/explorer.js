// The explorer: a raster with its avalanches, read by pointing, tapping or arrow keys.

const byId = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A token with its white space made visible. */
const visible = (token) => token.replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(/ /g, '␣');

const digits = (value) => (Number.isNaN(value) ? 'undefined' : value.toFixed(3));

const whole = (value) => value.toLocaleString('en');

const COLOURS = 7;
const SMALLEST_CELL = 4;
const SMALLEST_TOUCH_CELL = 7;
const LARGEST = 8;
const NO_SITE = { l: -1, t: -1 };

class Explorer {
  constructor(data) {
    this.data = data;
    this.canvas = byId('raster');
    this.site = NO_SITE;
    this.fillChoices();
    this.listen();
    this.chooseModel();
  }

  // ---------------------------------------------------------------------------- choices

  fillChoices() {
    this.data.models.forEach((model, m) => {
      byId('pick-model').append(new Option(`${model.id} (${model.role})`, m));
    });
    this.data.adjacencies.forEach((adjacency, a) => {
      const label = element('label');
      const radio = element('input');
      Object.assign(radio, { type: 'radio', name: 'adjacency', value: a, checked: a === 0 });
      label.append(radio, ` ${adjacency.label}`);
      byId('pick-adjacency').append(label);
    });
  }

  listen() {
    byId('pick-model').addEventListener('change', () => this.chooseModel());
    byId('pick-condition').addEventListener('change', () => this.chooseCondition());
    for (const id of ['pick-null', 'pick-window', 'pick-adjacency']) {
      byId(id).addEventListener('change', () => this.choose());
    }
    this.canvas.addEventListener('pointermove', (event) => this.point(event));
    this.canvas.addEventListener('pointerdown', (event) => this.point(event));
    this.canvas.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse') this.move(NO_SITE);
    });
    this.canvas.addEventListener('keydown', (event) => this.press(event));
    this.canvas.addEventListener('blur', () => this.move(NO_SITE));
    byId('words').addEventListener('pointerover', (event) => {
      if (event.target.dataset.t !== undefined) this.move({ l: -1, t: Number(event.target.dataset.t) });
    });
    byId('words').addEventListener('pointerleave', () => this.move(NO_SITE));
    new ResizeObserver(() => this.resize()).observe(this.canvas.parentElement);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.paint());
  }

  get model() { return this.data.models[Number(byId('pick-model').value)]; }

  get condition() { return this.model.conditions[Number(byId('pick-condition').value)]; }

  get window() { return this.model.windows[Number(byId('pick-window').value)]; }

  get null() { return this.data.nulls[byId('pick-null').value]; }

  get adjacency() {
    return this.data.adjacencies[Number(document.querySelector('[name=adjacency]:checked').value)];
  }

  chooseModel() {
    const { model } = this;
    const groups = new Map();
    model.conditions.forEach((condition, c) => {
      if (!groups.has(condition.events)) {
        const group = element('optgroup');
        group.label = condition.events;
        groups.set(condition.events, group);
      }
      const star = condition.isGstar ? ' = g*' : '';
      const text = `target ${condition.target}, g ${condition.g}${star}`;
      groups.get(condition.events).append(new Option(`${text} · ${condition.events}`, c));
    });
    byId('pick-condition').replaceChildren(...groups.values());
    byId('pick-condition').value = Math.max(0, model.conditions.findIndex((c) => !c.isGstar));
    byId('pick-window').replaceChildren(...model.windows.map((window, w) => {
      const start = window.tokens.join('').replace(/\s+/g, ' ').trim().slice(0, 40);
      return new Option(`${w + 1} of ${model.measured}: ${start} …`, w);
    }));
    this.chooseCondition();
  }

  chooseCondition() {
    const before = byId('pick-null').value;
    byId('pick-null').replaceChildren(...Object.keys(this.condition.rasters).map(
      (id) => new Option(this.data.nulls[id].label, id, false, id === before),
    ));
    this.choose();
  }

  /** Read the chosen raster, find its avalanches, and show them. */
  choose() {
    const { layers, tokens } = this.model;
    const packed = this.condition.rasters[byId('pick-null').value];
    const [k, text] = packed[Number(byId('pick-window').value)];
    this.A = unpack(k, text, layers * tokens);
    Object.assign(this, findAvalanches(this.A, layers, tokens, this.adjacency.diagonal));
    this.colour = colourAvalanches(this.labels, this.found, layers, tokens, COLOURS);
    this.site = NO_SITE;
    byId('null-note').textContent = this.null.note;
    this.canvas.setAttribute('aria-label', `Raster, ${layers} layers by ${tokens} tokens, `
      + `${this.found.length} avalanches`);
    this.describe();
    this.listLargest();
    this.showWords();
    this.resize();
    this.move(NO_SITE);
  }

  // ----------------------------------------------------------------------------- words

  describe() {
    const { layers, tokens } = this.model;
    const { p, time, depth } = branchingOf(this.A, layers, tokens);
    byId('window-facts').textContent = `This window: ${whole(this.found.length)} avalanches; `
      + `p ${digits(p)} (independent sites percolate at ${digits(this.adjacency.threshold)}); `
      + `per edge that exists, b_time ${digits(time)}, b_depth ${digits(depth)}, b_tot ${digits(time + depth)}.`;
  }

  listLargest() {
    const largest = [...this.found].sort((a, b) => b.size - a.size || a.id - b.id).slice(0, LARGEST);
    byId('largest').tBodies[0].replaceChildren(...largest.map((one) => {
      const row = element('tr');
      const show = element('button', String(one.id));
      show.type = 'button';
      const first = element('td');
      first.append(show);
      row.append(first, ...[one.size, one.sites, one.D, one.H].map((n) => element('td', whole(n))),
        element('td', one.border ? 'yes' : 'no'));
      const light = () => this.move(this.firstSite(one.id));
      row.addEventListener('pointerenter', light);
      row.addEventListener('pointerleave', () => this.move(NO_SITE));
      show.addEventListener('focus', light);
      show.addEventListener('click', light);
      return row;
    }));
  }

  firstSite(id) {
    const i = this.labels.indexOf(id + 1);
    return { l: Math.floor(i / this.model.tokens), t: i % this.model.tokens };
  }

  showWords() {
    byId('words').replaceChildren(...this.window.tokens.map((token, t) => {
      const span = element('span', token.replace(/\n/g, '⏎\n'));
      span.dataset.t = String(t);
      return span;
    }));
  }

  /** What stands at a site, in words. */
  siteWords({ l, t }) {
    const parts = [`t ${t}`];
    if (l >= 0) parts.push(`, l ${l}`);
    parts.push(' ');
    if (this.null.hasWords) {
      parts.push(element('span', visible(this.window.tokens[t]), 'token'));
    } else {
      parts.push('(no word under this null)');
    }
    if (l < 0) return parts;
    const i = l * this.model.tokens + t;
    if (this.A[i] === 0) return [...parts, ' A 0: no event'];
    const one = this.found[this.labels[i] - 1];
    const border = one.border ? ', touches the border' : '';
    return [...parts, ` A ${this.A[i]}; avalanche ${one.id}: S ${whole(one.size)} events on `
      + `${whole(one.sites)} ${one.sites === 1 ? 'site' : 'sites'}, D ${one.D} tokens, `
      + `H ${one.H} layers${border}`];
  }

  // --------------------------------------------------------------------------- pointing

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const { layers, tokens } = this.model;
    const t = Math.floor(((event.clientX - box.left) / box.width) * tokens);
    const l = layers - 1 - Math.floor(((event.clientY - box.top) / box.height) * layers);
    if (t < 0 || t >= tokens || l < 0 || l >= layers) return;
    this.move({ l, t });
    if (event.pointerType === 'mouse') this.showTip(event.clientX, event.clientY);
  }

  press(event) {
    const { layers, tokens } = this.model;
    const step = event.shiftKey ? 10 : 1;
    const at = this.site.l < 0 ? { l: 0, t: 0 } : { ...this.site };
    const moves = {
      ArrowLeft: () => { at.t -= step; },
      ArrowRight: () => { at.t += step; },
      ArrowUp: () => { at.l += step; },
      ArrowDown: () => { at.l -= step; },
      Home: () => { at.t = 0; },
      End: () => { at.t = tokens - 1; },
    };
    if (event.key === 'Escape') {
      this.move(NO_SITE);
    } else if (event.key in moves) {
      event.preventDefault();
      if (this.site.l >= 0) moves[event.key]();
      at.t = Math.max(0, Math.min(tokens - 1, at.t));
      at.l = Math.max(0, Math.min(layers - 1, at.l));
      this.move(at);
      this.scrollTo(at);
    }
  }

  scrollTo({ t }) {
    const sheet = this.canvas.parentElement;
    const x = (t + 0.5) * this.cell.width;
    if (x < sheet.scrollLeft || x > sheet.scrollLeft + sheet.clientWidth) {
      sheet.scrollLeft = x - sheet.clientWidth / 2;
    }
  }

  /** Make a site the one that is spoken of. */
  move(site) {
    this.site = site;
    byId('tip').hidden = true;
    const nothing = site.t < 0;
    byId('readout').replaceChildren(...(nothing
      ? [element('span', byId('raster-help').textContent, 'muted')] : this.siteWords(site)));
    this.markWords();
    this.drawSite();
  }

  showTip(x, y) {
    const tip = byId('tip');
    tip.replaceChildren(...this.siteWords(this.site));
    tip.hidden = false;
    const left = Math.min(x + 14, document.documentElement.clientWidth - tip.offsetWidth - 6);
    const top = y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 12 : y + 18;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }

  get lit() {
    const { l, t } = this.site;
    return l < 0 ? 0 : this.labels[l * this.model.tokens + t];
  }

  markWords() {
    const one = this.null.hasWords && this.lit ? this.found[this.lit - 1] : null;
    const words = byId('words');
    for (const span of words.children) {
      const t = Number(span.dataset.t);
      const here = this.null.hasWords && t === this.site.t;
      span.classList.toggle('spanned', one !== null && t >= one.tMin && t <= one.tMax);
      span.classList.toggle('here', here);
      if (here && this.site.l >= 0) words.scrollTop = span.offsetTop - words.clientHeight / 2;
    }
  }

  // --------------------------------------------------------------------------- drawing

  resize() {
    const { layers, tokens } = this.model;
    const smallest = matchMedia('(pointer: coarse)').matches ? SMALLEST_TOUCH_CELL : SMALLEST_CELL;
    const width = Math.max(smallest, this.canvas.parentElement.clientWidth / tokens);
    const height = Math.max(5, Math.min(14, Math.floor(330 / layers)));
    if (this.cell && this.cell.width === width && this.cell.height === height
      && this.cell.tokens === tokens && this.cell.layers === layers) {
      this.paint();
      return;
    }
    this.cell = { width, height, tokens, layers };
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * tokens * scale);
    this.canvas.height = Math.round(height * layers * scale);
    this.canvas.style.width = `${width * tokens}px`;
    this.canvas.style.height = `${height * layers}px`;
    this.showTicks();
    this.paint();
  }

  showTicks() {
    const { layers, tokens } = this.model;
    byId('layer-top').textContent = String(layers - 1);
    byId('layer-bottom').textContent = '0';
    const every = 32;
    const ticks = [];
    for (let t = 0; t < tokens; t += every) {
      const tick = element('span', t === 0 ? 'token 0' : String(t));
      tick.style.left = `${(t + (t === 0 ? 0 : 0.5)) * this.cell.width}px`;
      ticks.push(tick);
    }
    byId('token-ticks').replaceChildren(...ticks);
  }

  /** Paint the raster once bright and once dim, to be combined as the pointer moves. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    this.palette = Array.from({ length: COLOURS }, (_, c) => style.getPropertyValue(`--c${c}`));
    this.alone = style.getPropertyValue('--alone');
    this.mark = style.getPropertyValue('--mark');
    this.layer = document.createElement('canvas');
    this.layer.width = this.canvas.width;
    this.layer.height = this.canvas.height;
    this.drawSites(this.layer.getContext('2d'), () => true);
    this.drawSite();
  }

  /** A site's rectangle in whole pixels of the screen, so that neighbours meet without a seam. */
  rectangle(l, t) {
    const { layers, tokens } = this.model;
    const { width, height } = this.canvas;
    const x = Math.round((t / tokens) * width);
    const y = Math.round(((layers - 1 - l) / layers) * height);
    return [x, y, Math.round(((t + 1) / tokens) * width) - x,
      Math.round(((layers - l) / layers) * height) - y];
  }

  drawSites(context, wanted) {
    const { tokens } = this.model;
    for (let i = 0; i < this.A.length; i += 1) {
      const label = this.labels[i];
      if (label === 0 || !wanted(label)) continue;
      const colour = this.colour[label - 1];
      context.fillStyle = colour < 0 ? this.alone : this.palette[colour];
      context.fillRect(...this.rectangle(Math.floor(i / tokens), i % tokens));
    }
  }

  drawSite() {
    if (!this.layer) return;
    const context = this.canvas.getContext('2d');
    const { l, t } = this.site;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.globalAlpha = this.lit ? 0.22 : 1;
    context.drawImage(this.layer, 0, 0);
    context.globalAlpha = 1;
    if (this.lit) this.drawSites(context, (label) => label === this.lit);
    if (t < 0) return;
    context.strokeStyle = this.mark;
    context.lineWidth = window.devicePixelRatio || 1;
    const [x, y, width, height] = this.rectangle(Math.max(l, 0), t);
    if (l < 0) {
      context.strokeRect(x, 0, width, this.canvas.height);
    } else {
      context.strokeRect(x, y, width, height);
    }
  }
}
