// Formulas as text with the typography of mathematics: single letters slanted, words upright.
// The characters stay what they are, so that copying and searching work.

const RUN = /[\p{L}\p{M}]+/gu;

export function Maths({ text }: { text: string }) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(RUN)) {
    const letters = match[0].replace(/[\p{M}\p{Lm}]/gu, "");
    parts.push(text.slice(end, match.index));
    parts.push([...letters].length === 1 ? <i>{match[0]}</i> : match[0]);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return <span class="maths">{parts}</span>;
}

/** A value: a number on one line, or an array over several with its columns kept. */
export function Value({ text }: { text: string }) {
  return text.includes("\n") ? <pre class="array">{text}</pre> : <Maths text={text} />;
}
