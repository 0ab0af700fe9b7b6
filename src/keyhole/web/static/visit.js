import { canDraw, checkWebgl, tellTimes } from "./page.js";

tellTimes();
checkWebgl();
// A series opens in what this browser can run.
if (!canDraw()) for (const link of document.querySelectorAll("a[data-pictures]")) link.href = link.dataset.pictures;
