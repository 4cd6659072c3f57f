// The view of one cluster: its members nearest to the centroid and its farthest ones, and one key for all of them.

import { ask, element, images, number, picture, send } from "./api.js";
import { actions, say } from "./panel.js";

const ENDS = 16; // images shown of either end
const SHOWN_AT_ONCE = 2000;

export class Clusters {
  constructor(page) {
    this.page = page;
    this.cluster = null;
    this.all = false;
    this.skipped = new Set();
    this.history = [];
  }

  async show(wanted) {
    const { state, main } = this.page;
    const number = wanted ?? this.next();
    this.cluster = null;
    this.all = false;
    if (number === undefined) {
      main.replaceChildren(element("h2", {}, "No cluster is left to decide on"), element("p", {}, `${state.advice}.`), this.list());
      return this.buttons();
    }
    this.cluster = await ask(`cluster/${number}`);
    this.draw();
  }

  next() {
    const { queue } = this.page.state;
    if (queue.every((number) => this.skipped.has(number))) this.skipped.clear();
    return queue.find((number) => !this.skipped.has(number));
  }

  draw() {
    const { cluster } = this;
    const left = this.page.state.queue.length;
    const facts = [images(cluster.size)];
    const given = cluster.size - cluster.unnamed;
    if (given) facts.push(`${number(given)} decided already`);
    if (cluster.verdict === "named") facts.splice(1, 1, `named ${cluster.label}`);
    if (cluster.verdict === "mixed") facts.push("marked as mixed");
    if (cluster.verdict === "none") facts.push("marked as none of the classes");
    const head = element(
      "div",
      { class: "head" },
      element("h2", {}, `Cluster ${cluster.number}`),
      element("span", {}, facts.join(", ")),
      element("span", { class: "soft" }, left === 1 ? "1 cluster to decide on" : `${number(left)} clusters to decide on`),
    );
    this.page.main.replaceChildren(head, ...this.strips(), this.list());
    this.buttons();
  }

  strips() {
    const { images: members } = this.cluster;
    if (this.all || members.length <= 2 * ENDS) {
      const shown = members.slice(0, SHOWN_AT_ONCE);
      const more = shown.length < members.length ? `, the first ${number(shown.length)}` : "";
      return [element("h3", {}, `All images, the nearest to the centroid first${more}`), this.tiles(shown)];
    }
    return [
      element("h3", {}, "Nearest to the centroid"),
      this.tiles(members.slice(0, ENDS)),
      element("h3", {}, "Farthest from it"),
      this.tiles(members.slice(-ENDS)),
    ];
  }

  tiles(members) {
    const tiles = members.map((image) => {
      const note = image.label ? (image.source === "image" ? "by image" : image.source === "cluster" ? "by cluster" : image.source) : image.note;
      const open = () => this.page.large.open(this.cluster.images, this.cluster.images.indexOf(image));
      const words = [element("b", {}, image.label), element("span", {}, note)];
      const about = [image.file, image.label, note].filter(Boolean).join(", ");
      const tile = element("button", { type: "button", class: "tile", title: image.file, "aria-label": about, onclick: open }, picture(image.i, ""));
      if (image.label || note) tile.append(...words);
      return element("li", {}, tile);
    });
    return element("ul", { class: "tiles" }, ...tiles);
  }

  list() {
    const words = { named: "", open: "open", mixed: "mixed", none: "none of the classes" };
    const { clusters } = this.page.state;
    const buttons = clusters.map((cluster) =>
      element(
        "button",
        { type: "button", onclick: () => this.go(cluster.number) },
        `${cluster.number}: ${cluster.label || words[cluster.verdict]} · ${number(cluster.size)}`,
      ),
    );
    const open = element("details", {}, element("summary", {}, `All ${number(clusters.length)} clusters`), element("div", { class: "list" }, ...buttons));
    return open;
  }

  buttons() {
    const { cluster } = this;
    if (!cluster) return actions(this.page.state, () => say("There is no cluster to name"), []);
    const others = [
      { key: "s", text: "Split in two", act: () => this.split() },
      { key: "m", text: "Mixed", act: () => this.mark("mixed") },
      { key: "x", text: "None of these", act: () => this.mark("none") },
      { key: "→", text: "Later", act: () => this.skip(), looks: true },
    ];
    if (cluster.size > 2 * ENDS) {
      const text = this.all ? "Only both ends" : `Show all ${number(cluster.size)}`;
      others.push({ key: ".", text, act: () => this.toggleAll(), looks: true });
    }
    const guess = cluster.verdict === "open" && cluster.guess;
    if (guess) others.unshift({ key: "Enter", text: `${guess}, probably`, act: () => this.name(guess), first: true });
    actions(this.page.state, (name) => this.name(name), others);
  }

  go(number) {
    if (this.cluster) this.history.push(this.cluster.number);
    this.page.scrollUp();
    return this.page.guard(() => this.show(number));
  }

  decide(body, text) {
    if (!this.cluster) return;
    const { number } = this.cluster;
    return this.page.guard(async () => {
      this.page.update(await send("decide", { cluster: number, ...body }));
      this.history.push(number);
      this.page.scrollUp();
      await this.show();
      say(text);
    });
  }

  name(label) {
    return this.decide({ kind: "name", label }, `Cluster ${this.cluster?.number}: ${label}, ${images(this.cluster?.unnamed ?? 0)}`);
  }

  mark(verdict) {
    const text = verdict === "mixed" ? "mixed, for the next round" : "none of the classes";
    return this.decide({ kind: "mark", verdict }, `Cluster ${this.cluster?.number}: ${text}`);
  }

  split() {
    if (!this.cluster) return;
    const { number } = this.cluster;
    return this.page.guard(async () => {
      this.page.update(await send(`split/${number}`));
      const last = Math.max(...this.page.state.clusters.map((cluster) => cluster.number));
      this.history.push(number);
      await this.show(last - 1);
      const sizes = [last - 1, last].map((part) => this.page.state.clusters.find((cluster) => cluster.number === part)?.size ?? 0);
      say(`Cluster ${number} is split: ${last - 1} with ${images(sizes[0])}, ${last} with ${images(sizes[1])}`);
    });
  }

  skip() {
    if (!this.cluster) return;
    this.skipped.add(this.cluster.number);
    return this.go();
  }

  back() {
    const alive = new Set(this.page.state.clusters.map((cluster) => cluster.number));
    let number = this.history.pop();
    while (number !== undefined && !alive.has(number)) number = this.history.pop();
    if (number === undefined) return say("This was the first cluster");
    this.skipped.delete(number);
    return this.page.guard(() => this.show(number));
  }

  toggleAll() {
    this.all = !this.all;
    this.draw();
  }

  key(key) {
    const act = { s: () => this.split(), m: () => this.mark("mixed"), x: () => this.mark("none"), ArrowRight: () => this.skip(), ArrowLeft: () => this.back(), ".": () => this.toggleAll() }[key];
    if (act) return act() ?? true;
    if (key === "Enter" && this.cluster?.verdict === "open" && this.cluster.guess) return this.name(this.cluster.guess) ?? true;
    return false;
  }
}
