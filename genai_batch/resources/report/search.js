"use strict";
// Shows the rows that hold every word typed, and the outcome chosen. Without this script all rows are simply there.
const form = document.getElementById("filter");
if (form) {
  const words = document.getElementById("words");
  const outcome = document.getElementById("outcome");
  const told = document.getElementById("told");
  const rows = Array.from(document.querySelectorAll("#rows tbody tr"), (row) => ({
    row, outcome: row.dataset.outcome, text: row.textContent.toLowerCase(),
  }));
  const show = () => {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const each of rows) {
      const fits = (!outcome.value || each.outcome === outcome.value) && asked.every((word) => each.text.includes(word));
      each.row.hidden = !fits;
      count += fits;
    }
    told.textContent = `${count} of ${rows.length} rows`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
