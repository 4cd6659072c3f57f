// The page: one view at a time, one state from the server, and the keys.

import { ask, keyed, send } from "./api.js";
import { Clusters } from "./clusters.js";
import { Images } from "./images.js";
import { Large } from "./large.js";
import { askForName, banner, say, showWorth } from "./panel.js";

const POLL_MILLISECONDS = 2000;
const VIEWS = ["clusters", "doubt", "suspects", "check"];

class Page {
  constructor() {
    this.main = document.getElementById("main");
    this.large = new Large(this);
    this.views = Object.fromEntries(VIEWS.map((kind) => [kind, kind === "clusters" ? new Clusters(this) : new Images(this, kind)]));
    this.view = this.views.clusters;
    this.working = false;
  }

  update(state) {
    this.state = state;
    showWorth(state);
  }

  // One request at a time: a key that is held down must not decide on what has not been seen.
  async guard(act) {
    if (this.working) return;
    this.working = true;
    try {
      await act();
    } catch (error) {
      say(error.message);
    } finally {
      this.working = false;
    }
  }

  async switchTo(kind) {
    this.view = this.views[kind];
    for (const button of document.querySelectorAll("[data-view]")) {
      if (button.dataset.view === kind) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    this.scrollUp();
    await this.guard(() => this.view.show());
  }

  scrollUp() {
    window.scrollTo({ top: 0 });
  }

  refresh() {
    return this.guard(async () => {
      this.update(await ask("state"));
      const shown = this.views.clusters.cluster?.number;
      const alive = this.state.clusters.some((cluster) => cluster.number === shown);
      if (this.view === this.views.clusters) await this.view.show(alive ? shown : undefined);
    });
  }

  undo() {
    return this.guard(async () => {
      const { undo } = this.state;
      const state = await send("undo");
      this.update(state);
      if (this.view === this.views.clusters) await this.view.show(state.cluster ?? undefined);
      else await this.view.show();
      say(`Taken back: ${undo}`);
    });
  }

  round() {
    banner("The images without a name are clustered …");
    document.getElementById("round").disabled = true;
    return this.guard(async () => {
      try {
        this.update(await send("round"));
      } catch (error) {
        this.update(await ask("state"));
        throw error;
      }
      if (this.view === this.views.clusters) await this.view.show();
      say(`Round ${this.state.round} begins with ${this.state.queue.length} clusters`);
    });
  }

  write(underAnotherName = false) {
    return this.guard(async () => {
      try {
        const state = await send(`write?under_another_name=${underAnotherName}`);
        this.update(state);
        say(`Written: ${state.written}`);
      } catch (error) {
        this.update(await ask("state"));
        say(error.message, keyed("", `Write ${this.state.free_name}`, () => this.write(true)));
      }
    });
  }

  async poll() {
    if (this.working || document.hidden) return;
    try {
      const { version, busy } = await ask("version");
      if (version !== this.state.version || busy !== this.state.busy) await this.refresh();
    } catch (error) {
      banner(error.message);
    }
  }

  press(event) {
    const typing = event.target.matches("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.getElementById("naming").open) return;
    if (document.getElementById("keys").open) return;
    const { key } = event;
    const onButton = event.target.closest("button, summary, a");
    if (onButton && (key === "Enter" || key === " ")) return; // it is the button that is pressed
    if (this.act(key)) event.preventDefault();
  }

  act(key) {
    const view = this.large.isOpen() ? this.large : this.view;
    if (!this.state) return false;
    const looking = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", ".", " "];
    if (key === "?") return document.getElementById("keys").showModal() ?? true;
    if (key === "v" && !this.large.isOpen()) return this.nextView();
    if (this.state.read_only && !looking.includes(key)) return false;
    const known = this.state.classes.find((one) => one.key && one.key === key);
    if (known) return view.name(known.name) ?? true;
    if (key === "n") return askForName(this.state, (name) => view.name(name)) ?? true;
    if (key === "u") return this.undo() ?? true;
    if (key === "w") return this.write() ?? true;
    if (key === "r" && !this.large.isOpen() && this.state.n_left) return this.round() ?? true;
    return view.key(key);
  }

  nextView() {
    const at = VIEWS.findIndex((kind) => this.views[kind] === this.view);
    this.switchTo(VIEWS[(at + 1) % VIEWS.length]);
    return true;
  }

  async start() {
    for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.switchTo(button.dataset.view));
    document.getElementById("undo").addEventListener("click", () => this.undo());
    document.getElementById("round").addEventListener("click", () => this.round());
    document.getElementById("write").addEventListener("click", () => this.write());
    document.getElementById("help").addEventListener("click", () => document.getElementById("keys").showModal());
    document.addEventListener("keydown", (event) => this.press(event));
    await this.guard(async () => this.update(await ask("state")));
    if (this.state) await this.switchTo("clusters");
    setInterval(() => this.poll(), POLL_MILLISECONDS);
  }
}

new Page().start();
