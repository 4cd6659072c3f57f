// One image at a time, in large: the same keys as in the grid.

import { element, number, picture, send } from "./api.js";
import { actions, say } from "./panel.js";

const dialog = document.getElementById("large");

export class Large {
  constructor(page) {
    this.page = page;
    dialog.addEventListener("close", () => this.closed());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  isOpen() {
    return dialog.open;
  }

  // view: the grid that the images are from; without it they are members of a cluster.
  open(list, at, view) {
    if (!list.length) return;
    this.list = list;
    this.view = view;
    this.at = at;
    this.changed = false;
    this.draw();
    if (!dialog.open) dialog.showModal();
    dialog.focus();
  }

  draw() {
    const image = this.list[this.at];
    const shown = picture(image.i, image.file, "picture");
    shown.id = "large-picture";
    document.getElementById("large-picture").replaceWith(shown);
    const label = image.label || image.note || "no name";
    const doubt = image.looks_like && image.looks_like !== image.label ? `, looks like ${image.looks_like}` : "";
    const text = element("span", { class: "soft" }, ` ${image.file}, ${number(this.at + 1)} of ${number(this.list.length)}`);
    document.getElementById("large-text").replaceChildren(element("strong", {}, label), doubt, text);
    const others = [
      { key: "Enter", text: `Yes, ${image.label || image.looks_like}`, act: () => this.confirm(), first: true },
      { key: "x", text: "None of these", act: () => this.name("") },
      { key: "←", text: "Back", act: () => this.move(-1), looks: true },
      { key: "→", text: "On", act: () => this.move(1), looks: true },
      { key: "Esc", text: "Close", act: () => dialog.close(), looks: true },
    ].filter(({ key }) => key !== "Enter" || image.label || image.looks_like);
    actions(this.page.state, (name) => this.name(name), others, document.getElementById("large-actions"));
  }

  move(by) {
    this.at = Math.max(0, Math.min(this.at + by, this.list.length - 1));
    this.draw();
  }

  async name(label) {
    const image = this.list[this.at];
    if (this.view) await this.view.name(label, [image]);
    else await this.nameMember(image, label);
    this.changed = true;
    this.move(1);
  }

  nameMember(image, label) {
    return this.page.guard(async () => {
      this.page.update(await send("decide", { kind: "image", files: [image.file], label }));
      Object.assign(image, { label: label.trim(), source: "image", note: label.trim() ? "" : "none of the classes", looks_like: "" });
      say(`${image.file}: ${label.trim() || "none of the classes"}`);
    });
  }

  confirm() {
    const image = this.list[this.at];
    const proposal = image.label || image.looks_like;
    if (proposal) return this.name(proposal);
    say("This image has no label to confirm: give it one");
  }

  closed() {
    if (this.view) this.view.activate(this.at);
    else if (this.changed) this.page.refresh();
  }

  key(key) {
    if (key === "ArrowRight") this.move(1);
    else if (key === "ArrowLeft") this.move(-1);
    else if (key === "Enter") this.confirm();
    else if (key === "x") this.name("");
    else if (key === ".") dialog.close();
    else return false;
    return true;
  }
}
