// The views of single images: the doubtful ones, given labels that look like another class, and those to check.

import { ask, element, images, send } from "./api.js";
import { Grid } from "./grid.js";
import { actions, say } from "./panel.js";

const TITLES = {
  doubt: ["Doubtful images", "Nobody has looked at them; the least certain come first. Enter confirms the label below an image, another key corrects it."],
  suspects: ["Suspect labels", "Given labels that look like another class: a slip, perhaps. Enter keeps the label."],
  check: ["Check", "Images that were named by their cluster, in random order. Enter: the label is right; another key: the right label. How many were right is how accurate the names are: so take them in this order."],
};
const SOURCES = { given: "given", image: "by image ✓", cluster: "by cluster", assigned: "assigned" };

export class Images {
  constructor(page, kind) {
    this.page = page;
    this.kind = kind;
    this.list = [];
    this.active = 0;
    this.selected = new Set();
  }

  async show() {
    this.list = (await ask(`images?by=${this.kind}`)).images;
    this.active = 0;
    this.selected.clear();
    const [title, text] = TITLES[this.kind];
    const head = element("div", { class: "head" }, element("h2", {}, title), element("span", {}, images(this.list.length)));
    this.grid = new Grid(title, this.list, (tile, at) => this.prepare(tile, at));
    const nothing = this.list.length ? text : "There is none.";
    this.page.main.replaceChildren(head, element("p", { class: "soft" }, nothing), this.grid.element);
    this.grid.draw();
    this.buttons();
    if (this.list.length) this.activate(0);
  }

  prepare(tile, at) {
    tile.addEventListener("click", () => {
      this.activate(at);
      this.toggle(at);
    });
    tile.addEventListener("dblclick", () => this.page.large.open(this.list, at, this));
    tile.setAttribute("tabindex", at === this.active ? "0" : "-1");
    this.fill(tile, this.list[at]);
  }

  fill(tile, image) {
    const [, label, note] = tile.children;
    const doubt = image.looks_like && image.looks_like !== image.label;
    label.textContent = image.label || (image.note ? "–" : "no name");
    note.className = doubt ? "doubt" : "";
    note.textContent = doubt ? `${image.looks_like}?` : (SOURCES[image.source] ?? image.note);
    tile.classList.toggle("done", image.source === "image" || Boolean(image.decided));
    tile.setAttribute("aria-selected", String(this.selected.has(image)));
    tile.setAttribute("aria-label", [image.file, label.textContent, doubt ? `looks like ${image.looks_like}` : note.textContent].join(", "));
  }

  activate(at, focus = true) {
    if (!this.list.length) return;
    this.grid.tile(this.active)?.setAttribute("tabindex", "-1");
    this.active = Math.max(0, Math.min(at, this.list.length - 1));
    const tile = this.grid.reveal(this.active);
    tile.setAttribute("tabindex", "0");
    if (focus) tile.focus({ preventScroll: true });
    this.showProposal();
  }

  // What Enter says of an image: its label, or else what it looks like.
  proposal(image) {
    return image.label || image.looks_like;
  }

  showProposal() {
    const button = document.querySelector("#actions .first");
    const names = [...new Set(this.chosen().map((image) => this.proposal(image)))];
    const isName = names.length === 1 && names[0];
    if (!button) return;
    button.disabled = this.page.state.read_only || !names.every(Boolean) || !names.length;
    button.lastChild.textContent = isName ? `Yes, ${names[0]}` : "The labels are right";
  }

  toggle(at) {
    const image = this.list[at];
    if (this.selected.has(image)) this.selected.delete(image);
    else this.selected.add(image);
    this.refill(image);
    say(this.selected.size ? `${images(this.selected.size)} selected` : "Nothing is selected");
    this.showProposal();
  }

  chosen() {
    return this.selected.size ? [...this.selected] : this.list.length ? [this.list[this.active]] : [];
  }

  // What a key decides on: never an image that was scrolled out of sight.
  targets() {
    if (this.selected.size || !this.list.length || this.grid.isSeen(this.active)) return this.chosen();
    this.activate(this.grid.firstSeen());
    say("Nothing was decided: the image was out of sight. The first that is seen is chosen now");
    return [];
  }

  // One request for each label: a confirmation of several images may be of several classes.
  name(label, targets = this.targets()) {
    if (!targets.length) return;
    return this.page.guard(async () => {
      const groups = grouped(targets, (image) => label ?? this.proposal(image));
      for (const [name, group] of groups) {
        const files = group.map((image) => image.file);
        this.page.update(await send("decide", { kind: "image", files, label: name }));
        for (const image of group) this.mark(image, name.trim());
      }
      const last = Math.max(...targets.map((image) => this.list.indexOf(image)));
      const selected = [...this.selected];
      this.selected.clear();
      for (const image of selected) this.refill(image);
      this.buttons();
      const what = targets.length === 1 ? targets[0].file : images(targets.length);
      say(`${what}: ${label === undefined ? (groups.size === 1 ? [...groups.keys()][0] : "confirmed") : label.trim() || "none of the classes"}`);
      this.activate(last + 1, !this.page.large.isOpen());
    });
  }

  mark(image, label) {
    Object.assign(image, { label, source: label ? "image" : "", note: label ? "" : "none of the classes", looks_like: "", decided: true });
    this.refill(image);
  }

  refill(image) {
    const tile = this.grid.tile(this.list.indexOf(image));
    if (tile) this.fill(tile, image);
  }

  confirm(targets = this.targets()) {
    if (targets.some((image) => !this.proposal(image))) return say("There is no label to confirm: give one");
    return this.name(undefined, targets);
  }

  buttons() {
    const others = [
      { key: "Enter", text: "The label is right", act: () => this.confirm(), first: true },
      { key: "x", text: "None of these", act: () => this.name("") },
      { key: "Space", text: "Select", act: () => this.list.length && this.toggle(this.active), looks: true },
      { key: ".", text: "Large", act: () => this.page.large.open(this.list, this.active, this), looks: true },
    ];
    actions(this.page.state, (name) => this.name(name), others);
  }

  key(key) {
    const { columns } = this.grid;
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 5 * columns, PageUp: -5 * columns };
    if (key in moves) this.activate(this.active + moves[key]);
    else if (key === "Home") this.activate(0);
    else if (key === " ") this.list.length && this.toggle(this.active);
    else if (key === "Enter") this.confirm();
    else if (key === "x") this.name("");
    else if (key === ".") this.page.large.open(this.list, this.active, this);
    else return false;
    return true;
  }
}

function grouped(targets, nameOf) {
  const groups = new Map();
  for (const image of targets) {
    const name = nameOf(image);
    groups.set(name, [...(groups.get(name) ?? []), image]);
  }
  return groups;
}
