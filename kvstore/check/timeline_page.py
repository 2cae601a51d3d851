"""The page around the picture: its style and its script."""

from string import Template

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>history: $verdict</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 16px 16px 72px;
 color: #1c2126; background: #fff }
h1 { font-size: 20px; margin: 0 0 8px }
h2 { font-size: 16px; margin: 20px 0 4px }
ul.findings { list-style: none; padding: 0 }
ul.findings ul { font: 12px/1.5 ui-monospace, monospace; color: #444 }
li.holds > b { color: #1d7a46 } li.violated > b { color: #b3261e } li.unknown > b { color: #8a5a00 }
.scroll { overflow-x: auto }
.chart { display: flex; border: 1px solid #d5dade }
.chart .scroll { flex: 1 }
svg { display: block; font: 12px system-ui, sans-serif; flex: none }
.s { font-size: 10px; fill: #59636b }
.i { font-size: 10px; fill: #fff; pointer-events: none }
.g { stroke: #e6eaed; fill: none }
.o, .r { stroke: #fff; stroke-width: .5 }
.o { fill: #2f7fb8 } .r { fill: #aab2b8 } .u { fill: url(#unknown); stroke: #c98a12 }
.f { stroke: #b3261e; stroke-width: 3; fill-opacity: .75 }
.t { fill: #d7e8d4 } .x { fill: #f3b8a8; fill-opacity: .4 }
.w { fill: #7a4fb5; stroke: #7a4fb5 } .w.f { fill: #b3261e }
.h { fill: none; stroke: #b3261e; stroke-width: 2 }
text.f { fill: #b3261e; stroke: none; font-weight: 600 }
.d { font-size: 10px; pointer-events: none }
.k0 { font-weight: 600 } .k1 { font-weight: 600; fill: #1d5d86 }
.zoomed .i, .zoomed .d, .zoomed .s { display: none }
rect:target { stroke: #000; stroke-width: 4 }
.key span { display: inline-block; padding: 0 8px; margin-right: 8px; border-radius: 3px }
#details { position: fixed; left: 0; right: 0; bottom: 0; min-height: 24px; padding: 8px 16px;
 background: #1c2126; color: #fff; font: 12px/1.5 ui-monospace, monospace; white-space: pre-wrap }
</style>
</head>
<body>
<svg width="0" height="0" style="position:absolute"><defs>
<pattern id="unknown" width="6" height="6" patternUnits="userSpaceOnUse">
<rect width="6" height="6" fill="#f6dfb0"/><path d="M0 6L6 0" stroke="#c98a12"/></pattern>
</defs></svg>
<h1>Verdict: $verdict</h1>
<ul class="findings">
$findings
</ul>
$failing
<h2>The history</h2>
<p class="key"><span style="background:#2f7fb8;color:#fff">ok</span><span
 style="background:#aab2b8">refused</span><span style="background:#f6dfb0">unknown</span><span
 style="border:2px solid #b3261e">failing part</span><span
 style="background:#f9dbd3">fault</span><span
 style="background:#d7e8d4">leader's term</span><span
 id="zoom" hidden><button>&minus;</button> <button>+</button></span></p>
<div class="chart">
$labels
<div class="scroll" id="scroll">
$chart
</div>
</div>
<div id="details">Hover over a bar for its details.</div>
<script>
"use strict";
const details = document.getElementById("details"), chart = document.getElementById("chart");
const scroll = document.getElementById("scroll"), width = chart.viewBox.baseVal.width;
document.addEventListener("mouseover", event => {
  const title = event.target.querySelector && event.target.querySelector(":scope > title");
  if (title && event.target.closest("svg")) details.textContent = title.textContent;
});
let zoom = 1;
function zoomBy(factor) {
  const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / zoom;
  zoom = Math.min(64, Math.max(1 / 16, zoom * factor));
  chart.setAttribute("width", width * zoom);
  chart.classList.toggle("zoomed", zoom !== 1);
  scroll.scrollLeft = middle * zoom - scroll.clientWidth / 2;
}
const [out, into] = document.querySelectorAll("#zoom button");
out.onclick = () => zoomBy(1 / 2);
into.onclick = () => zoomBy(2);
document.getElementById("zoom").hidden = false;
</script>
</body>
</html>
""")
