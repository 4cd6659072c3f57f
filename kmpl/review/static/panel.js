// What stands around the images: what the review is worth so far, the buttons, what is said, and the naming of a class.

import { element, images, keyed, number } from "./api.js";

const SOURCES = {
  given: "given",
  image: "by image",
  cluster: "by cluster",
  assigned: "assigned earlier",
  no_class: "none of the classes",
  unnamed: "without a name",
};
const by = (id) => document.getElementById(id);

export function showWorth(state) {
  const named = state.n_images - state.counts.unnamed - state.counts.no_class;
  document.title = `${state.folder}: ${number(named)} of ${number(state.n_images)} named`;
  by("title").textContent = `${state.folder}: ${number(named)} of ${images(state.n_images)} named, round ${state.round}`;
  const there = Object.entries(SOURCES).filter(([source]) => state.counts[source]);
  by("bar").replaceChildren(
    ...there
      .filter(([source]) => source !== "unnamed")
      .map(([source]) => {
        const part = element("span", { class: source });
        part.style.width = `${(100 * state.counts[source]) / state.n_images}%`;
        return part;
      }),
  );
  const words = there.map(([source, text]) => `${number(state.counts[source])} ${text}`);
  by("bar").setAttribute("aria-label", words.join(", "));
  by("legend").replaceChildren(
    ...there.map(([source], i) => element("li", {}, element("i", { class: source, "aria-hidden": "true" }), words[i])),
  );
  by("advice").textContent = state.advice;
  by("accuracy").textContent = state.accuracy;
  by("undo").disabled = state.read_only || !state.undo;
  by("undo").title = state.undo ? `Takes back: ${state.undo}` : "";
  by("round").disabled = state.read_only || !state.n_left || Boolean(state.busy);
  by("round").title = `Clusters the ${images(state.n_left)} without a name`;
  by("write").disabled = state.read_only;
  by("write").title = state.is_written ? `${state.out} is up to date` : `Writes ${state.out}`;
  const reason = state.read_only ? "Another process has this review open: here you can only look." : "";
  banner(state.busy ? `${state.busy} …` : reason);
}

export function banner(text) {
  by("banner").hidden = !text;
  if (by("banner").textContent !== text) by("banner").textContent = text;
}

export function say(text, ...buttons) {
  by("status").replaceChildren(text, ...buttons.flatMap((button) => [" ", button]));
}

// A row of buttons for the classes, then what else the view can do.
export function actions(state, pick, others, at = by("actions")) {
  const classes = state.classes.map(({ name, key, size }) => {
    const button = keyed(key, name, () => pick(name), { "aria-label": `${name}, ${images(size)}`, disabled: state.read_only });
    button.append(element("span", { class: "soft", "aria-hidden": "true" }, ` (${number(size)})`));
    return button;
  });
  const more = others.map(({ key, text, act, first, looks }) =>
    keyed(key, text, act, { class: first ? "first" : false, disabled: state.read_only && !looks }),
  );
  const name = keyed("n", "Type a name …", () => askForName(state, pick), { disabled: state.read_only });
  const firsts = more.filter((button) => button.classList.contains("first"));
  const rest = more.filter((button) => !button.classList.contains("first"));
  const focused = at.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
  for (const button of [...firsts, ...classes, name, ...rest]) button.dataset.name = button.childNodes[1]?.textContent ?? button.textContent;
  at.replaceChildren(element("div", {}, ...firsts, ...classes, name), element("div", {}, ...rest));
  // Who presses buttons with the keyboard stays on the one that was pressed.
  if (focused) [...at.querySelectorAll("button")].find((button) => button.dataset.name === focused)?.focus();
}

export function askForName(state, pick) {
  const dialog = by("naming");
  const field = by("naming-name");
  by("naming-known").replaceChildren(...state.classes.map(({ name }) => element("option", { value: name })));
  field.value = "";
  by("naming-cancel").onclick = () => dialog.close();
  by("naming-form").onsubmit = () => {
    if (field.value.trim()) pick(field.value);
  };
  dialog.showModal();
  field.focus();
}
