for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, place) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
  heads.forEach((head, place) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const rows = [...body.rows].map((row) => [value(row, place), row]);
    const numbers = rows.every(([text]) => text === "" || !Number.isNaN(Number(text)));
    const compare = numbers
      ? ([a], [b]) => (a === "" ? Infinity : Number(a)) - (b === "" ? Infinity : Number(b))
      : ([a], [b]) => a.localeCompare(b, "en", { numeric: true });
    rows.sort((a, b) => (down ? -1 : 1) * compare(a, b) || 0);
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  }));
}
