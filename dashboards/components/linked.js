// A report's sentences, linked with the image: pointing at one lights its findings, and the other way round.
//
// `data` is what `dashboards/views/medical_text.py` sends. Its texts are set by textContent: none becomes markup.

const HIGHLIGHT = "trivium:findings"; // as in viewer.js

export default function ({ data, parentElement, setTriggerValue }) {
  const stop = new AbortController();
  const root = parentElement.querySelector(".linked");
  root.replaceChildren();
  const sentences = data.sections.flatMap((section) => show(section, root, data.labels));
  for (const one of sentences) point(one, setTriggerValue, stop.signal);
  const act = ({ detail }) => lit(sentences, new Set(detail.ids), detail.isPinned);
  window.addEventListener(HIGHLIGHT, act, { signal: stop.signal });
  return () => stop.abort();
}

function make(parent, tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function show(section, root, labels) {
  make(root, "div", "section", section.label);
  const text = make(root, "div", "text");
  const sentences = [];
  for (const part of section.parts) {
    const span = make(text, "span", part.ids.length ? "sentence" : "", part.text);
    for (const remark of part.remarks) {
      span.classList.add("remarked");
      const told = make(text, "span", "remark", `${labels.remark} ${remark}`);
      told.setAttribute("role", "note");
    }
    if (!part.ids.length) continue;
    span.tabIndex = 0;
    span.title = part.title;
    if (part.is_located) span.classList.add("located");
    sentences.push({ span, ids: part.ids, goesTo: part.goes_to });
  }
  return sentences;
}

function point({ span, ids, goesTo }, setTriggerValue, signal) {
  const tell = (told, isPinned) =>
    window.dispatchEvent(new CustomEvent(HIGHLIGHT, { detail: { ids: told, isPinned } }));
  const choose = () => {
    tell(ids, true);
    if (goesTo) setTriggerValue("chosen", goesTo); // its regions lie in another frame: the page goes there
  };
  span.addEventListener("pointerenter", () => tell(ids, false), { signal });
  span.addEventListener("pointerleave", () => tell([], false), { signal });
  span.addEventListener("click", choose, { signal });
  span.addEventListener("keydown", (event) => event.key === "Enter" && choose(), { signal });
}

function lit(sentences, ids, isPinned) {
  for (const { span, ids: own } of sentences) {
    const isLit = own.some((id) => ids.has(id));
    span.classList.toggle("lit", isLit);
    if (isPinned) span.classList.toggle("pinned", isLit);
  }
}
