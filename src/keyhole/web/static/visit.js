import { checkWebgl, tellTimes } from "./page.js";

tellTimes();
checkWebgl();
