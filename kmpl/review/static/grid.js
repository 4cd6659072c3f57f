// A grid of any number of images, of which only those near the window are in the page: ten thousand scroll as ten do.

import { element, picture } from "./api.js";

const GAP = 8; // pixels
const AHEAD = 800; // pixels above and below the window that are ready
const TEXT = 46; // pixels below an image, for two lines

export class Grid {
  constructor(label, list, prepare) {
    this.list = list;
    this.prepare = prepare;
    this.made = new Map();
    this.element = element("ul", { class: "grid", role: "listbox", "aria-multiselectable": "true", "aria-label": label });
    this.resized = () => (this.element.isConnected ? this.draw() : this.leave());
    this.scrolled = () => {
      if (!this.element.isConnected) return this.leave();
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.fillWindow();
      });
    };
    window.addEventListener("resize", this.resized);
    window.addEventListener("scroll", this.scrolled, { passive: true });
  }

  leave() {
    window.removeEventListener("resize", this.resized);
    window.removeEventListener("scroll", this.scrolled);
  }

  tile(at) {
    return this.made.get(at);
  }

  draw() {
    const width = this.element.clientWidth;
    const least = width < 560 ? 74 : 102;
    this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    this.side = (width - GAP * (this.columns - 1)) / this.columns;
    this.row = this.side + TEXT + GAP;
    this.element.style.height = `${Math.ceil(this.list.length / this.columns) * this.row}px`;
    for (const [at, tile] of this.made) this.put(tile, at);
    this.fillWindow();
  }

  put(tile, at) {
    const left = (at % this.columns) * (this.side + GAP);
    const top = Math.floor(at / this.columns) * this.row;
    Object.assign(tile.style, { transform: `translate(${left}px, ${top}px)`, width: `${this.side}px`, height: `${this.row - GAP}px` });
  }

  fillWindow() {
    const above = -this.element.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor((above - AHEAD) / this.row)) * this.columns;
    const to = Math.min(this.list.length, Math.ceil((above + window.innerHeight + AHEAD) / this.row) * this.columns);
    for (const [at, tile] of this.made) {
      if ((at < from || at >= to) && tile !== document.activeElement) {
        tile.remove();
        this.made.delete(at);
      }
    }
    const before = [...this.element.children];
    for (let at = from; at < to; at++) if (!this.made.has(at)) this.element.append(this.make(at));
    // In the order of the list, for who hears the page.
    const order = [...this.made.keys()].sort((a, b) => a - b);
    if (before.length && order.some((at, place) => this.element.children[place] !== this.made.get(at))) {
      const focused = document.activeElement;
      this.element.append(...order.map((at) => this.made.get(at)));
      if (this.element.contains(focused) || [...this.made.values()].includes(focused)) focused.focus({ preventScroll: true });
    }
  }

  make(at) {
    const image = this.list[at];
    const about = { class: "tile", role: "option", title: image.file, "aria-setsize": this.list.length, "aria-posinset": at + 1 };
    const tile = element("li", about, picture(image.i, ""), element("b"), element("span"));
    this.put(tile, at);
    this.made.set(at, tile);
    this.prepare(tile, at);
    return tile;
  }

  // Pixels from the top of the window to the row of an image.
  top(at) {
    return Math.floor(at / this.columns) * this.row + this.element.getBoundingClientRect().top;
  }

  isSeen(at) {
    return this.top(at) + this.side / 2 > 0 && this.top(at) + this.side / 2 < window.innerHeight - document.querySelector("footer").offsetHeight;
  }

  firstSeen() {
    const rows = Math.ceil(Math.max(0, -this.element.getBoundingClientRect().top) / this.row);
    return Math.min(rows * this.columns, this.list.length - 1);
  }

  // Scrolls so that an image is seen, and returns its tile.
  reveal(at) {
    const top = this.top(at);
    const bottom = window.innerHeight - document.querySelector("footer").offsetHeight - GAP;
    if (top < GAP) window.scrollBy(0, top - GAP);
    else if (top + this.row > bottom) window.scrollBy(0, top + this.row - bottom);
    this.fillWindow();
    if (!this.made.has(at)) this.element.append(this.make(at));
    return this.made.get(at);
  }
}
