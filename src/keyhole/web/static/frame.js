// Whether a visit's cookie would come back. Inside a page of another site browsers keep the ordinary one away, and most
// let one pass that is tied to that page. Tried with a cookie that means nothing, before anything is opened.
function comesBack(attributes) {
  const test = `keyhole_test=1; path=${location.pathname}; ${attributes}`;
  try {
    document.cookie = test;
    const held = /(^|; )keyhole_test=1/.test(document.cookie);
    document.cookie = `${test}; max-age=0`;
    return held;
  } catch {
    return false; // a frame without an origin
  }
}

// "ordinary", "partitioned", "window" (none here, but perhaps in a window of its own) or "off".
export function cookies() {
  if (window === window.top) return navigator.cookieEnabled ? "ordinary" : "off";
  if (comesBack("SameSite=Lax")) return "ordinary";
  const https = location.protocol === "https:";
  return https && comesBack("SameSite=None; Secure; Partitioned") ? "partitioned" : "window";
}
