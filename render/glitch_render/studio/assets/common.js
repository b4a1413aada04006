/* What every part of the page uses: making elements, and not asking too often. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/* At once the first time, then at most every so many milliseconds, and never without the last. */
function sparingly(call, pause) {
  let waiting = null;
  let last = 0;
  return () => {
    if (waiting !== null) return;
    const rest = Math.max(0, last + pause - performance.now());
    waiting = setTimeout(() => {
      waiting = null;
      last = performance.now();
      call();
    }, rest);
  };
}
