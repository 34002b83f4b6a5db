document.querySelector(".prices").addEventListener("input", () => {
  const price = (id) => Number(document.querySelector(`[data-price="${id}"]`).value) || 0;
  for (const row of document.querySelectorAll(".costs tbody tr")) {
    let cost = 0;
    for (const cell of row.querySelectorAll("[data-takes]")) {
      cost += price(cell.dataset.takes) * Number(cell.dataset.value);
    }
    row.querySelector("[data-cost]").textContent = cost.toFixed(4);
  }
});
