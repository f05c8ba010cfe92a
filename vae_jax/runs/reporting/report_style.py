"""The stylesheet of the report: one column, system fonts, light and dark, and paper."""

STYLESHEET = """
:root { color-scheme: light dark; --page: #f6f7f8; --card: #ffffff; --ink: #1c2024; --faint: #5b636b;
  --line: #dfe3e6; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181b; --card: #1e2226; --ink: #e8eaec; --faint: #a3abb3; --line: #343a40; --accent: #6db8e8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 920px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.3; margin: 48px 0 4px; }
.statement { margin: 0 0 24px; color: var(--faint); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: 12px; margin: 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; }
dt { font-size: 13px; color: var(--faint); }
dd { margin: 0; font-size: 28px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.error { font-size: 16px; font-weight: 400; white-space: nowrap; }
.unit { display: block; font-size: 12px; font-weight: 400; line-height: 1.4; color: var(--faint); }
.note { max-width: 70ch; margin: 16px 0 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 20px; font-size: 14px; }
a { color: var(--accent); text-underline-offset: 3px; }
figure { margin: 0; }
figcaption { max-width: 70ch; margin-bottom: 12px; color: var(--faint); }
.card { display: inline-block; max-width: 100%; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; padding: 10px; }
img { display: block; max-width: 100%; height: auto; }
table { width: 100%; border-collapse: collapse; margin-top: 8px; font-size: 14px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { width: 34%; font-weight: 400; color: var(--faint); }
.models { margin-top: 20px; overflow-x: auto; }
.models table { font-size: 13px; font-variant-numeric: tabular-nums; }
.models th, .models td { width: auto; padding-right: 8px; overflow-wrap: normal; }
.models td { white-space: nowrap; }
@media print { .models table { font-size: 10px; } }
pre { margin: 8px 0 0; padding: 12px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 680px) { main { padding: 24px 14px 40px; } h1 { font-size: 24px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; } dd { font-size: 22px; } .error { display: block; } }
@media print {
  :root { --page: #ffffff; --card: #ffffff; --ink: #000000; --faint: #444444; --line: #bbbbbb; --accent: #000000; }
  body { font-size: 11pt; } main { max-width: none; padding: 0; } nav { display: none; } h2 { margin-top: 20pt; }
  h2, figcaption { break-after: avoid; } figure, tr, .tiles div, pre { break-inside: avoid; }
  .card { border: 0; padding: 0; } }
"""
