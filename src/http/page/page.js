// Keeps the page alive: fetches the parts that change, and draws the plot over and over.
// Every address is relative, so that the page also works behind a proxy's path.
(() => {
  'use strict';

  const TICK_MS = 500, TIMEOUT_MS = 5000, MOST_PAUSE_MS = 5000;
  // The plot runs behind by this much, so that new frames enter at its edge and do not pop up.
  const LAG_MS = 900;
  const LENGTHS = { '1m': 6e4, '10m': 6e5, '1h': 36e5, '24h': 864e5 };
  const $ = id => document.getElementById(id);
  const body = document.body, run = body.dataset.run, plot = $('plot-body');
  const current = nav => $(nav).querySelector('[aria-current]').dataset;
  const shown = { view: current('views').view, range: current('ranges').range };

  // A token in the address has become a cookie: nobody needs to see it there.
  if (/[?&]token=/.test(location.search)) {
    const query = new URLSearchParams(location.search);
    query.delete('token');
    history.replaceState(null, '', location.pathname + (query.size ? '?' + query : '') + location.hash);
  }

  // ---- fetching ------------------------------------------------------------------------------------------------

  async function get(address) {
    const answer = await fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(address + ': ' + answer.status);
    return answer;
  }

  let lastAnswer = performance.now(), failures = 0;

  async function tick() {
    const begin = performance.now();
    if (!document.hidden) {
      try {
        await Promise.all([get('live').then(a => a.text()).then(refresh), fetchEnergy()]);
        lastAnswer = performance.now();
        failures = 0;
      } catch (error) {
        failures += 1;
        console.warn(String(error));
      }
      link();
    }
    const pause = failures ? Math.min(TICK_MS * 2 ** failures, MOST_PAUSE_MS) : TICK_MS;
    setTimeout(tick, Math.max(100, pause - (performance.now() - begin)));
  }

  function link() {
    const silent = Math.round((performance.now() - lastAnswer) / 1000);
    const offline = failures > 1;
    body.classList.toggle('offline', offline);
    body.classList.toggle('live', !offline);
    $('link').textContent = offline ? 'no answer for ' + silent + ' s' : 'live';
    if (!offline) return;
    document.title = 'no answer \u00b7 ' + device;
    // The next answer puts everything right again.
    const banner = $('live-banner');
    banner.dataset.state = 'blind';
    banner.querySelector('.lamp').innerHTML = '<path d="M12 6v7M12 17.5h.01"/>';
    banner.querySelector('.headline').textContent = 'The box does not answer';
    banner.querySelector('.watching').textContent = 'What is below was true ' + silent + ' s ago. Trying again.';
  }

  // ---- the parts that the server made --------------------------------------------------------------------------

  const device = document.querySelector('h1').textContent;

  async function refresh(html) {
    const fresh = new DOMParser().parseFromString(html, 'text/html');
    const camera = fresh.getElementById('live-camera'), image = camera.querySelector('img');
    // The picture comes first, so that it and what is said of it change together.
    const wanted = image && camera.dataset.frame !== $('live-camera').dataset.frame;
    const picture = wanted ? await load(image) : null;
    if (wanted && !picture) camera.remove();
    for (const part of [...fresh.body.children]) if ($(part.id)) morph($(part.id), part);
    if (picture) {
      $('live-camera').querySelector('img').replaceWith(picture);
      shape(picture);
    }
    localTimes();
    const state = $('live-banner').dataset.state;
    if (body.dataset.state !== state) {
      body.dataset.state = state;
      $('icon').href = 'icon.svg?state=' + state;
    }
    const mark = { unusual: '\u25cf unusual', camera_fault: 'camera fault', blind: 'NOT WATCHING' }[state];
    document.title = (mark ? mark + ' \u00b7 ' : '') + device;
  }

  async function load(image) {
    const picture = new Image();
    picture.alt = image.alt;
    picture.src = image.getAttribute('src');
    try {
      await picture.decode();
      return picture;
    } catch {
      return null; // This frame is gone already; the next one comes soon.
    }
  }

  // All kept frames have the shape of the newest one.
  function shape(picture) {
    const { naturalWidth: width, naturalHeight: height } = picture;
    if (width) document.documentElement.style.setProperty('--aspect', width / height);
  }

  // Makes `old` equal to `fresh` with as few changes as can be: images stay loaded, focus and scrolling stay.
  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeName === 'IMG' && old.closest('#live-camera')) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const named = new Map([...old.children].filter(c => c.id).map(c => [c.id, c]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const known = child.id ? named.get(child.id) : (at && !at.id && at.nodeName === child.nodeName ? at : null);
      if (!known) { old.insertBefore(child, at); continue; }
      if (known === at) at = at.nextSibling; else old.insertBefore(known, at);
      morph(known, child);
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  }

  // The board's clock may be wrong; an age and this browser's clock tell when it was.
  function localTimes() {
    for (const time of document.querySelectorAll('time[data-age]')) {
      const date = new Date(Date.now() - time.dataset.age * 1000);
      time.textContent = date.toLocaleTimeString();
      time.title = date.toLocaleString();
    }
  }

  // ---- energies ------------------------------------------------------------------------------------------------

  // What is known of each grain: columns of equal length.
  const empty = () => ({ next: 0, t: [], low: [], mean: [], high: [], p: [], frames: [], unusual: [] });
  const known = { '10m': empty(), '1h': empty(), '24h': empty() };
  let about = null, ahead = null;

  const grain = () => (shown.range === '1m' ? '10m' : shown.range);
  const data = () => known[grain()];

  async function fetchEnergy() {
    const range = grain(), mine = known[range];
    const answer = await get('energy.json?range=' + range + '&after=' + mine.next).then(a => a.json());
    if (answer.run !== run) return location.reload();
    about = answer;
    const offset = answer.now_ms - performance.now();
    // The largest is the one whose answer was the fastest; it fades, because clocks drift.
    ahead = ahead === null ? offset : Math.max(offset, ahead - 1);
    append(mine, answer);
    draw();
  }

  function append(mine, answer) {
    const fresh = answer.points || answer.buckets;
    let time = 0;
    const times = fresh.ms.map(step => (time += step));
    const oldest = answer.now_ms - LENGTHS[answer.range] - 60000;
    let from = 0, to = mine.t.length;
    while (from < to && mine.t[from] < oldest) from += 1;
    // Open buckets come again.
    if (answer.buckets) while (to > from && times.length && mine.t[to - 1] >= times[0]) to -= 1;
    const join = (old, more) => old.slice(from, to).concat(more);
    mine.t = join(mine.t, times);
    mine.low = join(mine.low, fresh.low || fresh.energy);
    mine.mean = join(mine.mean, fresh.mean || fresh.energy);
    mine.high = join(mine.high, fresh.high || fresh.energy);
    mine.p = join(mine.p, fresh.p_value);
    mine.frames = join(mine.frames, fresh.frames || times.map(() => 1));
    mine.unusual = join(mine.unusual, fresh.unusual);
    mine.next = answer.next;
  }

  // ---- the plot ------------------------------------------------------------------------------------------------

  const bent = x => (x <= 1 ? x : 1 + Math.log(x));
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

  // The same scales as in plot.rs.
  function scale(view, d, first) {
    const { threshold, median, alpha, smallest_p: smallest } = about;
    if (view === 'p') {
      const height = p => clamp(Math.log(p) / Math.log(smallest) * 0.94, 0, 1);
      const ticks = [[height(alpha), short(alpha), 'alpha']];
      for (let p = 1; p >= smallest * 0.999; p /= 10) {
        if (Math.abs(Math.log10(p / alpha)) > 0.4) ticks.push([height(p), String(+p.toPrecision(1)), 'grid']);
      }
      return { height: i => height(d.p[i]), limit: height(alpha), ticks };
    }
    const unit = Math.max((threshold === null ? median + 1 : threshold) - median, 1e-9);
    let highest = 3, lowest = -1.2;
    for (let i = first; i < d.t.length; i += 1) {
      highest = Math.max(highest, (d.high[i] - median) / unit);
      lowest = Math.min(lowest, (d.low[i] - median) / unit);
    }
    const floor = Math.max(lowest, -20), top = bent(Math.min(highest * 1.2, 1e12));
    const of = energy => clamp((bent((energy - median) / unit) - floor) / (top - floor), 0, 1);
    const ticks = [[of(median), digits(median), 'median']];
    if (threshold !== null) ticks.push([of(threshold), digits(threshold), 'threshold']);
    let before = threshold === null ? of(median) : of(threshold);
    for (const nice of niceAbove(threshold === null ? median : threshold)) {
      if (of(nice) >= 0.97) break;
      if (of(nice) - before < 0.13) continue;
      ticks.push([of(nice), digits(nice), 'grid']);
      before = of(nice);
    }
    const limit = threshold === null ? null : of(threshold);
    return { height: i => of(d.high[i]), low: i => of(d.low[i]), mean: i => of(d.mean[i]), limit, ticks };
  }

  function* niceAbove(value) {
    for (let power = 10 ** Math.floor(Math.log10(Math.max(Math.abs(value), 0.1))); power < 1e15; power *= 10) {
      for (const digit of [1, 2, 5]) if (digit * power > value) yield digit * power;
    }
  }

  const digits = x => (Math.abs(x) < 10 ? x.toFixed(2).replace(/\.?0+$/, '') : Math.abs(x) < 1e4 ? x.toFixed(0) : x.toExponential(0)).replace('-', '\u2212');
  const short = p => (p < 1e-6 ? p.toExponential(1) : p.toFixed(1 - Math.floor(Math.log10(p))).replace(/\.?0+$/, ''));

  let pointer = null, frameOf = null;

  function draw() {
    if (!about || ahead === null) return;
    const d = data(), length = LENGTHS[shown.range];
    const width = Math.max(280, plot.clientWidth), narrow = width < 560, height = narrow ? 230 : 310;
    const left = narrow ? 44 : 66, right = width - 6, top = 22, bottom = height - 26;
    const end = performance.now() + ahead - LAG_MS, start = end - length;
    let first = 0, last = d.t.length;
    while (first < last && d.t[first] < start) first += 1;
    first = Math.max(0, first - 1);
    const s = scale(shown.view, d, first);
    const x = t => left + (t - start) / length * (right - left);
    const y = h => bottom - h * (bottom - top);
    const parts = [
      '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
      '<rect class="hatch" width="3" height="7"/></pattern>',
      `<clipPath id="frame"><rect x="${left}" y="0" width="${right - left}" height="${height}"/></clipPath>`,
      `<clipPath id="above"><rect x="${left}" y="0" width="${right - left}" height="${s.limit === null ? 0 : y(s.limit)}"/></clipPath></defs>`,
    ];
    grid(parts, s, { x, y, left, right, top, bottom, height, start, end, length, narrow });
    parts.push('<g clip-path="url(#frame)">');
    bands(parts, { x, left, right, top, bottom, end });
    parts.push(curve(d, s, { first, x, y, bottom, left, right }), '</g>');
    frameOf = { d, s, x, y, left, right, top, bottom, start, end, length, width, first };
    let svg = plot.querySelector('svg.chart');
    if (!plot.classList.contains('drawn')) {
      plot.classList.add('drawn');
      plot.insertAdjacentHTML('beforeend', '<div class="tip" hidden></div>');
    }
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.innerHTML = parts.join('') + cross();
  }

  function grid(parts, s, { x, y, left, right, bottom, height, start, end, length, narrow }) {
    parts.push(`<line class="axis" x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}"/>`);
    for (const [h, text, name] of s.ticks) {
      const at = y(h).toFixed(1), words = !narrow && name !== 'grid';
      parts.push(`<line class="${name}" x1="${left}" y1="${at}" x2="${right}" y2="${at}"/>`,
        `<text class="${name}" x="${left - 7}" y="${+at + (words ? 1 : 4)}" text-anchor="end">${text}</text>`);
      if (words) parts.push(`<text class="faint" x="${left - 7}" y="${+at + 13}" text-anchor="end">${name}</text>`);
    }
    const most = (right - left) / (narrow ? 62 : 90);
    const step = [5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5].find(v => length / v <= most) || 432e5;
    const now = Date.now(), zone = new Date().getTimezoneOffset() * 6e4;
    const wall = t => now - (end - t);
    for (let at = Math.ceil((wall(start) - zone) / step) * step + zone; at <= now; at += step) {
      const place = x(start + (at - wall(start)));
      if (place < left + 12 || place > right - 26) continue;
      const options = step < 6e4 ? { hour: '2-digit', minute: '2-digit', second: '2-digit' } : { hour: '2-digit', minute: '2-digit' };
      parts.push(`<line class="grid" x1="${place.toFixed(1)}" y1="${bottom}" x2="${place.toFixed(1)}" y2="${bottom + 4}"/>`,
        `<text class="faint" x="${place.toFixed(1)}" y="${height - 7}" text-anchor="middle">${new Date(at).toLocaleTimeString([], options)}</text>`);
    }
  }

  const escape = text => text.replace(/[&<>"]/g, c => '&#' + c.charCodeAt(0) + ';');

  function bands(parts, { x, left, right, top, bottom, end }) {
    let labelled = -Infinity;
    for (const band of about.bands) {
      const from = Math.max(x(band.from_ms), left - 4), to = Math.max(x(band.to_ms === null ? end : band.to_ms), from + 1.5);
      if (to < left || from > right) continue;
      const kind = { unusual: 'unusual', camera_fault: 'fault', drift: 'drift' }[band.kind];
      parts.push(`<g class="band ${kind}"><rect x="${from.toFixed(1)}" y="${top}" width="${(to - from).toFixed(1)}" height="${bottom - top}"/>`);
      const middle = clamp((Math.max(from, left) + Math.min(to, right)) / 2, left + 20, right - 20), half = band.label.length * 3.1;
      if (band.label && middle - half > labelled + 8 && (to - from) * 3 > half) {
        parts.push(`<text x="${middle.toFixed(1)}" y="${top - 7}" text-anchor="middle">${escape(band.label)}</text>`);
        labelled = middle + half;
      }
      parts.push('</g>');
    }
  }

  // One column of pixels gets one piece of the curve, however many frames fall into it. Where many do, their spread
  // is shaded and the line is their mean.
  function curve(d, s, { first, x, y, bottom, right }) {
    const width = grain() === '10m' ? 0 : about.width_ms, pause = width ? width * 2.5 : 12000;
    const faults = about.bands.filter(band => band.kind === 'camera_fault').map(band => band.from_ms);
    const runs = [];
    let columns = 0, column = null, before = null;
    const pixels = d.t.length - first > 2 * (right - 60) ? 2 : 1;
    for (let i = first; i < d.t.length; i += 1) {
      const at = d.t[i] + width / 2, place = x(at), high = s.height(i), low = s.low ? s.low(i) : high, mean = s.mean ? s.mean(i) : high;
      const gap = before === null ? 0 : at - before;
      if (place > right && !width) break;
      const broken = gap > pause || (!width && gap > 1000 && faults.some(t => t >= before - 500 && t <= at));
      if (before === null || broken) runs.push([]);
      if (before === null || broken || Math.floor(place / pixels) !== Math.floor(column.x / pixels)) {
        column = { x: place, high, low, mean, count: 1 };
        runs.at(-1).push(column);
        columns += 1;
      } else {
        column.high = Math.max(column.high, high);
        column.low = Math.min(column.low, low);
        column.count += 1;
        column.mean += (mean - column.mean) / column.count;
      }
      before = at;
    }
    const dense = width > 0 || d.t.length - first > 1.5 * columns;
    const at = (c, h) => c.x.toFixed(1) + ' ' + y(h).toFixed(1);
    let line = '', ridge = '', spread = '', area = '';
    for (const run of runs) {
      const high = run.map(c => at(c, c.high)).join('L');
      line += 'M' + run.map(c => at(c, dense && s.low ? c.mean : c.high)).join('L');
      ridge += 'M' + high;
      if (dense && s.low) spread += 'M' + high + 'L' + run.map(c => at(c, c.low)).reverse().join('L') + 'Z';
      area += `M${run[0].x.toFixed(1)} ${bottom}L${high}L${run.at(-1).x.toFixed(1)} ${bottom}Z`;
    }
    let svg = `<path class="area" clip-path="url(#above)" d="${area}"/><path class="spread" d="${spread}"/>` +
      `<path class="curve" d="${line}"/><path class="curve over" clip-path="url(#above)" d="${ridge}"/>`;
    if (column && column.x > right - 30 && !width) {
      const over = s.limit !== null && column.high > s.limit ? ' over' : '';
      svg += `<circle class="dot${over}" cx="${Math.min(column.x, right - 3.5).toFixed(1)}" cy="${y(dense && s.low ? column.mean : column.high).toFixed(1)}" r="3.5"/>`;
    }
    return svg;
  }

  // What is under the pointer.
  function cross() {
    const tip = plot.querySelector('.tip');
    if (pointer === null || !frameOf || pointer < frameOf.left || pointer > frameOf.right || !frameOf.d.t.length) {
      tip.hidden = true;
      return '';
    }
    const { d, s, x, y, left, right, top, bottom, start, length, width, first } = frameOf;
    const half = about.width_ms / 2 * (grain() === '10m' ? 0 : 1);
    const wanted = start + (pointer - left) / (right - left) * length - half;
    let low = first, high = d.t.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (d.t[middle] < wanted) low = middle + 1; else high = middle; }
    if (low > first && wanted - d.t[low - 1] < d.t[low] - wanted) low -= 1;
    const place = x(d.t[low] + half);
    if (Math.abs(place - pointer) > 24) { tip.hidden = true; return ''; }
    const when = new Date(Date.now() - (frameOf.end - d.t[low]));
    const band = about.bands.find(b => b.from_ms <= d.t[low] + half * 2 && (b.to_ms === null || b.to_ms >= d.t[low]));
    const lines = [when.toLocaleTimeString()];
    if (half) lines.push(`energy ${digits(d.low[low])} to ${digits(d.high[low])}`, `smallest p = ${short(d.p[low])}`, `${d.unusual[low]} of ${d.frames[low]} frames unusual`);
    else lines.push(`energy ${digits(d.high[low])}`, `p = ${short(d.p[low])}` + (d.unusual[low] ? ', unusual' : ''));
    if (band) lines.push({ unusual: 'event: ', camera_fault: 'camera: ', drift: 'drift: ' }[band.kind] + band.label);
    tip.replaceChildren(...lines.flatMap((text, i) => (i ? [document.createElement('br'), text] : [text])));
    tip.hidden = false;
    const beside = place + 14 + tip.offsetWidth > width ? place - 14 - tip.offsetWidth : place + 14;
    tip.style.transform = `translate(${Math.max(0, beside)}px, ${top + 6}px)`;
    return `<line class="cross" x1="${place.toFixed(1)}" y1="${top}" x2="${place.toFixed(1)}" y2="${bottom}"/>` +
      `<circle class="dot${d.unusual[low] ? ' over' : ''}" cx="${place.toFixed(1)}" cy="${y(s.height(low)).toFixed(1)}" r="4"/>`;
  }

  plot.addEventListener('pointermove', event => { pointer = event.clientX - plot.getBoundingClientRect().left; draw(); });
  plot.addEventListener('pointerdown', event => { pointer = event.clientX - plot.getBoundingClientRect().left; draw(); });
  plot.addEventListener('pointerleave', () => { pointer = null; draw(); });
  addEventListener('resize', draw);

  // The curve moves on between two answers where a person would see it move.
  let drawn = 0;
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  function animate(now) {
    const perPixel = LENGTHS[shown.range] / Math.max(280, plot.clientWidth);
    if (!still.matches && failures < 2 && now - drawn > Math.max(50, perPixel / 2)) {
      drawn = now;
      draw();
    }
    requestAnimationFrame(animate);
  }

  // ---- tabs and pictures ---------------------------------------------------------------------------------------

  for (const [nav, key] of [['views', 'view'], ['ranges', 'range']]) {
    $(nav).addEventListener('click', event => {
      const tab = event.target.closest('a');
      if (!tab || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      shown[key] = tab.dataset[key];
      $('plot').dataset.view = shown.view;
      for (const other of $(nav).children) other.toggleAttribute('aria-current', false);
      tab.setAttribute('aria-current', 'true');
      history.replaceState(null, '', `?view=${shown.view}&range=${shown.range}`);
      draw();
      fetchEnergy().catch(() => {});
    });
  }

  const dialog = document.createElement('dialog');
  dialog.id = 'large';
  body.append(dialog);
  dialog.addEventListener('click', () => dialog.close());
  document.addEventListener('click', event => {
    const link = event.target.closest('a.still');
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const image = link.querySelector('img').cloneNode(), text = document.createElement('p');
    image.loading = 'eager';
    text.textContent = link.dataset.caption;
    dialog.replaceChildren(image, text);
    dialog.showModal();
  });

  const newest = document.querySelector('#live-camera img');
  if (newest) newest.decode().then(() => shape(newest), () => {});
  localTimes();
  requestAnimationFrame(animate);
  tick();
})();
