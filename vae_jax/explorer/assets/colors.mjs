// A color for each label: ten that can be distinguished in the light and the dark theme, then hues by the golden angle.

const LIGHT = ["#0072b2", "#d55e00", "#00805e", "#b8488f", "#a87400", "#3d9bd6", "#7a4a2b", "#6544b0", "#6b6b6b", "#c0202e"];
const DARK = ["#5aa9e6", "#ff8a4c", "#35c49a", "#ec8fc4", "#eac04a", "#9ad4f5", "#c99a7a", "#ab92f2", "#b4b4b4", "#ff6b74"];

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

export function labelColor(label) {
  const fixed = isDark() ? DARK : LIGHT;
  return fixed[label] ?? `hsl(${(label * 137.508) % 360} 65% ${isDark() ? 68 : 42}%)`;
}
