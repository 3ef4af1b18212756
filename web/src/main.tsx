// Takes the model and the pictures out of the page and puts the player in.

import { render } from "preact";
import type { Model } from "./model";
import { Player, type Pictures } from "./player";
import "./style.css";

const model: Model = JSON.parse(document.getElementById("model")!.textContent!);
const pictures: Pictures = new Map();
for (const figure of document.querySelectorAll<HTMLElement>("figure[data-picture]")) {
  pictures.set(figure.dataset.picture!, figure.querySelector("svg")!);
  figure.remove(); // two pictures may use the same ids: one at a time is in the page
}
render(<Player model={model} pictures={pictures} />, document.getElementById("player")!);
