// Tables: sorted by their headings, filtered by text, with a button for all columns.

/** What a cell is sorted by; null where the value is undefined. */
function sortKey(cell, isNumber) {
  if (cell.classList.contains('null')) return null;
  if (!isNumber) return cell.textContent.toLowerCase();
  const value = parseFloat((cell.title || cell.textContent).replace(/,/g, '').replace('−', '-'));
  return Number.isNaN(value) ? null : value;
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const head = heads[column];
  const down = head.getAttribute('aria-sort') === 'ascending';
  heads.forEach((other) => other.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const isNumber = 'number' in head.dataset;
  const sign = down ? -1 : 1;
  const keyed = [...table.tBodies[0].rows].map((row) => [sortKey(row.cells[column], isNumber), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return a === b ? 0 : sign * (a < b ? -1 : 1);
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

function filterRows(box, table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  rows.forEach((row) => {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
  });
  const shown = rows.filter((row) => !row.hidden).length;
  box.querySelector('.count').textContent = words.length ? `${shown} of ${rows.length} rows` : '';
}

function prepareTable(box) {
  const table = box.querySelector('table.data');
  const more = box.querySelector('button.more');
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => sortBy(table, column));
  });
  box.querySelector('input').addEventListener('input', (event) => {
    filterRows(box, table, event.target.value);
  });
  table.tBodies[0].addEventListener('click', (event) => {
    const cell = event.target.closest('td');
    if (!cell) return;
    const heading = table.tHead.rows[0].cells[cell.cellIndex].textContent.trim();
    box.querySelector('.exact').textContent = `${heading}: ${cell.title || cell.textContent}`;
  });
  more.hidden = Number(table.dataset.leads) >= table.tHead.rows[0].cells.length;
  more.addEventListener('click', () => {
    const all = !table.classList.toggle('few');
    more.setAttribute('aria-pressed', String(all));
  });
}
