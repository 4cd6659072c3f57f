// Requests to the server; all addresses are relative, so the token in the page's own address goes with them.

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("kmpl review has ended; nothing is lost: start it again with the same command");
  }
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

export function send(path, body) {
  const options = { method: "POST" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  return ask(path, options);
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function keyed(key, text, act, more = {}) {
  const children = key ? [element("kbd", {}, key), text] : [text];
  return element("button", { type: "button", onclick: act, ...more }, ...children);
}

export const number = (n) => n.toLocaleString("en-GB");
export const images = (n) => (n === 1 ? "1 image" : `${number(n)} images`);

export function picture(i, alt, path = "thumbnail") {
  const image = element("img", { src: `${path}/${i}`, alt, loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) <= 64));
  return image;
}
