// Bundles src/ into the two files that the Python package inlines into every page it writes.
// The first line of both names a digest of what they were built from; a test recomputes it.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);
const read = (path) => readFileSync(new URL(path, here));

function digest() {
  const sources = readdirSync(new URL("src", here)).map((name) => `src/${name}`);
  const paths = [...sources, "build.mjs", "package.json", "package-lock.json", "tsconfig.json"];
  const hash = createHash("sha256");
  for (const path of paths.sort()) {
    hash.update(`${path}\0`).update(read(path)).update("\0");
  }
  return hash.digest("hex");
}

const version = JSON.parse(read("node_modules/preact/package.json")).version;
const stamp = `/*! chainrule step player, built from sources sha256:${digest()} */`;
const licence = `/*!
Contains preact ${version}, under this licence:

${read("node_modules/preact/LICENSE").toString().trim()}
*/`;

await build({
  absWorkingDir: here.pathname,
  entryPoints: { player: "src/main.tsx" },
  outdir: "../src/chainrule/explaining/player",
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  jsx: "automatic",
  jsxImportSource: "preact",
  target: ["chrome111", "firefox113", "safari16.4"],
  legalComments: "none",
  banner: { js: `${stamp}\n${licence}`, css: stamp },
});
