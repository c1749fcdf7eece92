'use strict';

// Rasters: counts from their code, avalanches, branching ratios, colours. Nothing here sees the page.

/** Counts from their code: a >> k ones, a zero, k lower bits, highest first. */
function unpack(k, text, size) {
  const bytes = atob(text);
  const counts = new Uint16Array(size);
  let place = 0;
  const bit = () => {
    const value = (bytes.charCodeAt(place >> 3) >> (7 - (place & 7))) & 1;
    place += 1;
    return value;
  };
  for (let i = 0; i < size; i += 1) {
    let ones = 0;
    while (bit()) ones += 1;
    let low = 0;
    for (let j = 0; j < k; j += 1) low = (low << 1) | bit();
    counts[i] = (ones << k) | low;
  }
  return counts;
}

/**
 * Connected components of occupied sites, numbered by their first site (layer, then token).
 *
 * @param A counts, layer by layer.
 * @returns labels (0 where empty, else 1 + number) and one entry for each avalanche.
 */
function findAvalanches(A, layers, tokens, diagonal) {
  const labels = new Int32Array(A.length);
  const found = [];
  const stack = [];
  const visit = (l, t, label) => {
    const i = l * tokens + t;
    if (l < 0 || t < 0 || l >= layers || t >= tokens || A[i] === 0 || labels[i] !== 0) return;
    labels[i] = label;
    stack.push(i);
  };
  for (let first = 0; first < A.length; first += 1) {
    if (A[first] === 0 || labels[first] !== 0) continue;
    const label = found.length + 1;
    const one = {
      id: found.length, size: 0, sites: 0,
      tMin: tokens, tMax: -1, lMin: layers, lMax: -1,
    };
    visit(Math.floor(first / tokens), first % tokens, label);
    while (stack.length) {
      const i = stack.pop();
      const l = Math.floor(i / tokens);
      const t = i % tokens;
      one.size += A[i];
      one.sites += 1;
      one.tMin = Math.min(one.tMin, t);
      one.tMax = Math.max(one.tMax, t);
      one.lMin = Math.min(one.lMin, l);
      one.lMax = Math.max(one.lMax, l);
      for (let dl = -1; dl <= 1; dl += 1) {
        for (let dt = -1; dt <= 1; dt += 1) {
          if (diagonal || dl === 0 || dt === 0) visit(l + dl, t + dt, label);
        }
      }
    }
    one.D = one.tMax - one.tMin + 1;
    one.H = one.lMax - one.lMin + 1;
    one.border = one.tMin === 0 || one.lMin === 0
      || one.tMax === tokens - 1 || one.lMax === layers - 1;
    found.push(one);
  }
  return { labels, found };
}

/** Shares of occupied sites whose next token, or next layer, is occupied; NaN where undefined. */
function branchingOf(A, layers, tokens) {
  let time = 0; let timeOf = 0; let depth = 0; let depthOf = 0; let occupied = 0;
  for (let l = 0; l < layers; l += 1) {
    for (let t = 0; t < tokens; t += 1) {
      const i = l * tokens + t;
      if (A[i] === 0) continue;
      occupied += 1;
      if (t < tokens - 1) { timeOf += 1; time += A[i + 1] > 0; }
      if (l < layers - 1) { depthOf += 1; depth += A[i + tokens] > 0; }
    }
  }
  return { p: occupied / A.length, time: time / timeOf, depth: depth / depthOf };
}

/** A colour number for each avalanche: none beside one of its own, larger ones first; −1 alone. */
function colourAvalanches(labels, found, layers, tokens, colours) {
  const near = found.map(() => new Set());
  for (let l = 0; l < layers; l += 1) {
    for (let t = 0; t < tokens; t += 1) {
      const here = labels[l * tokens + t];
      if (here === 0) continue;
      for (let dl = 0; dl <= 2 && l + dl < layers; dl += 1) {
        for (let dt = -2; dt <= 2; dt += 1) {
          if (t + dt < 0 || t + dt >= tokens) continue;
          const there = labels[(l + dl) * tokens + t + dt];
          if (there !== 0 && there !== here) {
            near[here - 1].add(there - 1);
            near[there - 1].add(here - 1);
          }
        }
      }
    }
  }
  const colour = new Int8Array(found.length).fill(-1);
  const order = found.filter((one) => one.sites > 1).sort((a, b) => b.size - a.size || a.id - b.id);
  order.forEach((one, rank) => {
    const taken = new Set([...near[one.id]].map((other) => colour[other]));
    let choice = rank % colours;
    for (let step = 0; step < colours && taken.has(choice); step += 1) {
      choice = (choice + 1) % colours;
    }
    colour[one.id] = choice;
  });
  return colour;
}
