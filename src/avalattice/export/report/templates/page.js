// The page: figures enlarge, links unfold what they point at, everything prints.

function prepareFigures() {
  const dialog = byId('enlarged');
  document.querySelectorAll('button.picture').forEach((button) => {
    button.addEventListener('click', () => {
      const picture = button.querySelector('img');
      const large = dialog.querySelector('img');
      large.src = picture.src;
      large.alt = picture.alt;
      dialog.showModal();
    });
  });
  dialog.addEventListener('click', (event) => {
    if (event.target !== dialog.querySelector('img')) dialog.close();
  });
}

/** Everything that is folded is printed unfolded, but for the meanings of columns. */
function preparePrinting() {
  let folded = [];
  addEventListener('beforeprint', () => {
    folded = [...document.querySelectorAll('details:not([open], .meanings)')];
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener('afterprint', () => folded.forEach((details) => { details.open = false; }));
}

/** A link to something folded unfolds it. */
function openTarget() {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === 'DETAILS') target.open = true;
}

document.querySelectorAll('details.table').forEach(prepareTable);
prepareFigures();
preparePrinting();
addEventListener('hashchange', openTarget);
openTarget();
const data = JSON.parse(byId('data').textContent);
if (data.models.length) {
  window.explorer = new Explorer(data);
}
