// Light, dark, or what the system says. The page and the pictures in it state their dark colours
// under one media query; choosing a theme by hand rewrites the condition of those queries. On
// paper the light colours always hold.

export type Theme = "auto" | "light" | "dark";

const CONDITION = "(prefers-color-scheme: dark)";
const FORCED: Record<Theme, string> = { auto: CONDITION, light: "not all", dark: "screen" };
const found = new WeakSet<CSSRule>();
let chosen: Theme = "auto";

function rewrite(rules: CSSRuleList, theme: Theme) {
  for (const rule of rules) {
    if (rule instanceof CSSMediaRule) {
      if (rule.media.mediaText === CONDITION) found.add(rule);
      if (found.has(rule)) rule.media.mediaText = FORCED[theme];
    }
  }
}

export function applyTheme(theme: Theme = chosen) {
  chosen = theme;
  for (const sheet of document.styleSheets) rewrite(sheet.cssRules, theme);
  document.documentElement.style.colorScheme = theme === "auto" ? "light dark" : theme;
}

export const systemTheme = (): Theme => (matchMedia(CONDITION).matches ? "dark" : "light");
