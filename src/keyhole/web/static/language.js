// The menu of languages: the choice is kept, and the page loaded again as it is, with what stands behind its #. A page
// that may be the answer to a form names where to go instead, so that nothing is sent twice.
import { cookies } from "./frame.js";

for (const form of document.querySelectorAll(".languages form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const framed = cookies() === "partitioned" && { "Keyhole-Framed": "yes" };
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...framed },
      body: JSON.stringify({ language: event.submitter.value }),
    }).catch(() => null);
    const page = form.elements.namedItem("page")?.value;
    if (answer?.ok) page ? location.assign(page) : location.reload();
  });
}
