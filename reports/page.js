// Draws the charts of the page. Each .chart names the kind of its drawing; its option for ECharts is data beside it.
(() => {
  "use strict";
  const font = () => getComputedStyle(document.body).fontFamily;

  const group = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const duration = (ns) => {
    for (const unit of ["ns", "µs", "ms"]) {
      if (ns < 1000) return Math.round(ns) + "\u202f" + unit;
      ns /= 1000;
    }
    return Math.round(ns) + "\u202fs";
  };

  const line = (x1, y1, x2, y2, stroke, width) =>
    ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth: width } });
  const words = (text, x, y, fill, weight, align) => ({
    type: "text",
    style: { text, x, y, fill, align: align || "left", verticalAlign: "middle", fontSize: 12, fontWeight: weight || "normal", fontFamily: font() },
  });
  const mark = (symbol, x, y, r, style) => {
    const points = {
      diamond: [[x, y - r * 1.25], [x + r * 1.25, y], [x, y + r * 1.25], [x - r * 1.25, y]],
      triangle: [[x, y - r * 1.1], [x + r * 1.15, y + r], [x - r * 1.15, y + r]],
      square: [[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]],
    }[symbol];
    return points ? { type: "polygon", shape: { points }, style } : { type: "circle", shape: { cx: x, cy: y, r }, style };
  };

  // Each drawing gives a series its shapes for one item, whose value begins with the row.
  const shapes = {
    // [row, median, lo, hi]: whiskers, and the median in figures behind them. Where nothing was measured, only words.
    iops: (series) => (params, api) => {
      const { name, value: [row, median, lo, hi] } = series.data[params.dataIndex];
      const [end, y] = api.coord([median || 0, row]);
      if (median == null) return words(name, end + 8, y, "var(--muted)");
      if (lo == null) return words(name, end + 8, y, "var(--ink)", 600);
      const [from, to] = [api.coord([lo, row])[0], api.coord([hi, row])[0]];
      return {
        type: "group",
        children: [
          line(from, y, to, y, "var(--ink)", 1.5),
          line(from, y - 4, from, y + 4, "var(--ink)", 1.5),
          line(to, y - 4, to, y + 4, "var(--ink)", 1.5),
          words(name, Math.max(end, to) + 8, y, "var(--ink)", 600),
        ],
      };
    },
    // [row, p50, p99, lane, lanes, p25, p75]
    latency: (series) => (params, api) => {
      const { name, value: [row, p50, p99, lane, lanes, p25, p75] } = series.data[params.dataIndex];
      const colour = series.itemStyle.color;
      const y = api.coord([p50, row])[1] + (lane - (lanes - 1) / 2) * 14;
      const [from, to] = [api.coord([p50, row])[0], api.coord([p99, row])[0]];
      return {
        type: "group",
        children: [
          line(from, y, to, y, colour, 1.5),
          { type: "rect", shape: { x: api.coord([p25, row])[0], y: y - 4, width: Math.max(1, api.coord([p75, row])[0] - api.coord([p25, row])[0]), height: 8, r: 2 }, style: { fill: colour, opacity: 0.35 } },
          mark(series.symbol, from, y, 4, { fill: "var(--paper)", stroke: colour, lineWidth: 1.5 }),
          mark(series.symbol, to, y, 4, { fill: colour, stroke: colour, lineWidth: 1.5 }),
          words(name, to + 9, y, "var(--ink)"),
        ],
      };
    },
    // [row, layer, part of the fullest bar or null, part that is expected or null]
    flushes: (series) => (params, api) => {
      const { name, value: [row, layer, part, expected] } = series.data[params.dataIndex];
      const [middle, y] = api.coord([layer, row]);
      const width = api.size([1, 1])[0] * 0.82;
      const x = middle - width / 2;
      const children = [words(name, middle, y - 5, part ? "var(--ink)" : "var(--muted)", part ? 600 : "normal", "center")];
      if (part != null) {
        const bar = (w, fill) => ({ type: "rect", shape: { x, y: y + 5, width: w, height: 5, r: 1 }, style: { fill } });
        children.push(bar(width, "var(--track)"));
        if (part > 0) children.push(bar(Math.max(width * part, 1.5), series.itemStyle.color));
      }
      if (part != null && expected != null) children.push(line(x + width * expected, y + 2, x + width * expected, y + 13, "var(--ink)", 1.5));
      return { type: "group", children };
    },
  };

  const ticks = { iops: group, latency: duration };
  const pageRows = 60;

  // page leaves in an option the rows of one page, and says how many there are.
  const page = (option, number) => {
    const rows = option.yAxis[0].data, from = number * pageRows;
    if (rows.length <= pageRows) return rows.length;
    const part = rows.slice(from, from + pageRows);
    option.yAxis[0].data = part;
    for (const series of option.series) {
      if (series.type === "bar") series.data = series.data.slice(from, from + pageRows);
      else series.data = series.data.filter(({ value: [row] }) => row >= from && row < from + pageRows)
        .map((item) => ({ ...item, value: [item.value[0] - from, ...item.value.slice(1)] }));
    }
    return part.length;
  };

  // complete adds to an option what is no data: functions, fonts, and the room for labels at the width given.
  const complete = (option, draw, width) => {
    const [x, y] = [option.xAxis[0], option.yAxis[0]];
    const room = Math.min(y.axisLabel.width, Math.round(width * 0.42));
    option.textStyle = { fontFamily: font() };
    option.grid = { ...[].concat(option.grid)[0], left: room };
    y.axisLabel = { ...y.axisLabel, width: room - 8, margin: room, interval: 0 };
    y.axisTick = { show: false };
    for (const { textStyle } of y.data) if (textStyle) textStyle.width = Math.min(textStyle.width, width);
    if (ticks[draw]) x.axisLabel.formatter = ticks[draw];
    else [x.axisLabel.align, x.axisLabel.interval] = ["center", 0];
    for (const series of option.series) {
      series.silent = true;
      if (series.type !== "custom") continue;
      series.renderItem = shapes[draw](series);
      series.z = 3; // above the bars: a whisker's lower half lies within its bar
    }
    return option;
  };

  // ---- Views: charts with choosers. Each takes the run's data, what is chosen, and the width, and gives the parts of its option,
  // its height, a sentence and a table.

  const three = (v) => v >= 99.95 || v === Math.trunc(v) ? v.toFixed(0) : v.toFixed(v >= 9.995 ? 1 : 2);
  const scaled = (v, units, by, last) => {
    for (const unit of units) {
      if (v < by - (by === 1000 ? 0.5 : 0.5)) return three(v) + "\u202f" + unit;
      v /= by;
    }
    return three(v) + "\u202f" + last;
  };
  const write = {
    rate: (v) => Math.abs(v) < 100 ? String(Number(v.toPrecision(3))) : group(Math.round(v)),
    bytes: (v) => scaled(v, ["B", "KiB", "MiB", "GiB"], 1024, "TiB") + "/s",
    ns: (v) => scaled(v, ["ns", "µs", "ms"], 1000, "s"),
    ms: (v) => v === 0 ? "0" : v < 99.5 ? Number(v.toPrecision(2)) + "\u202fms" : (v / 1000).toFixed(1) + "\u202fs",
    part: (v) => v === 0 ? "0" : v < 0.001 ? "<0.1\u202f%" : Number((100 * v).toPrecision(3)) + "\u202f%",
  };
  const absent = "–";

  const lineStyles = ["solid", "dashed", "dotted", [8, 3, 2, 3]];
  const symbols = ["circle", "triangle", "rect", "diamond"];
  const colour = (i) => `var(--c${i % 8})`;
  // decades are the powers of ten around values. A log axis that begins below them is rounded to the digits of the least value, to 0 even:
  // there must be a value where it begins.
  const decades = (values) => {
    const lo = Math.min(...values), hi = Math.max(...values);
    const [from, to] = [10 ** Math.floor(Math.log10(lo)), 10 ** Math.ceil(Math.log10(hi))];
    return [from, to > from ? to : 10 * from];
  };
  const varying = (d) => d.axes.map((_, i) => i).filter((i) => d.axes[i].values.length > 1);
  const label = (d, cell, which) => which.map((i) => `${d.axes[i].name}=${d.axes[i].values[cell.a[i]]}`).join(", ") || cell.l;
  const ofDisk = (d) => varying(d).filter((i) => d.axes[i].disk);

  // fixed says whether a cell has the chosen values of all axes but those that are shown.
  const fixed = (d, chosen, shown) => (cell) => varying(d).every((i) => shown.includes(i) || cell.a[i] === chosen[`fix${i}`]);
  const hideFixed = (id, d, shown) => {
    for (const i of varying(d)) {
      const select = document.getElementById(`${id}-fix${i}`);
      if (select) select.parentElement.hidden = shown.includes(i);
    }
  };

  const views = {
    pareto(d, chosen, width) {
      const at = d.metrics.map((_, i) => i).filter((i) => !d.metrics[i].safe)[chosen.metric];
      const metric = d.metrics[at], lost = chosen.loss === 1;
      const front = new Set(d.fronts[at][chosen.class]);
      const which = chosen.work ? ofDisk(d) : varying(d);
      const all = d.cells.map((cell, i) => ({ cell, i, v: cell.m[at]?.[0], loss: cell.s[chosen.class] }))
        .filter(({ cell }) => !chosen.work || cell.w === chosen.work - 1);
      const shown = all.filter(({ v, loss }) => v != null && loss && !(lost && loss.v === "NO_PROMISE"));
      const y = ({ loss }) => lost ? loss.l : loss.e;
      const loses = (p) => !lost && p.loss.l > 0; // these stand above all others, whatever they expose
      const bands = shown.some(loses), kept = shown.filter((p) => !loses(p));
      const some = kept.map(y).filter((v) => v > 0);
      const [low, top] = some.length ? decades(some) : [0, 1], floor = kept.some((p) => y(p) === 0) ? low / 10 : low;
      const band = some.length ? top * 10 : 1;
      const place = (p) => lost ? y(p) : loses(p) ? band : Math.max(y(p), floor);
      const most = Math.max(1e-9, ...shown.map(({ v }) => v));
      const lossText = (p) => lost ? write.part(p.loss.l) : (p.loss.c ? "≥" : "") + write.ms(p.loss.e);
      const mark = { SAFE: "circle", LOSES: "diamond", NO_PROMISE: "circle" };
      const ink = { SAFE: "var(--read)", LOSES: "var(--bad)", NO_PROMISE: "var(--muted)" };
      // Names of neighbours on the front stand above each other, as many as have room.
      const level = (p) => lost ? 20 * p.loss.l : Math.log10(place(p) || 1), named = [];
      for (const p of shown.filter((p) => front.has(p.i)).sort((a, b) => a.v - b.v)) {
        p.step = 0;
        while (named.some((o) => o.step === p.step && Math.abs(o.v - p.v) < 0.3 * most && Math.abs(level(o) - level(p)) < 0.5)) p.step++;
        named.push(p);
      }
      const points = shown.map((p) => {
        const on = front.has(p.i), across = metric.unit === "ns" ? 0.5 : p.v / most;
        return {
          name: `${p.cell.l}\n${metric.name} ${write[metric.unit](p.v)}\n${p.loss.t.replace(/^–/, "nothing promised,")}${lost || !p.loss.e ? "" : "\nexposed " + lossText(p)}`,
          value: [p.v, place(p)], symbol: mark[p.loss.v], symbolSize: on ? 12 : 9,
          itemStyle: { color: p.loss.v === "NO_PROMISE" ? "var(--paper)" : ink[p.loss.v], borderColor: ink[p.loss.v], borderWidth: p.loss.v === "NO_PROMISE" ? 2 : 0, opacity: on ? 1 : 0.35 },
          label: { show: on && p.step < 5, formatter: () => label(d, p.cell, which), position: "top", offset: [0, -14 * (p.step ?? 0)], align: across < 0.25 ? "left" : across > 0.6 ? "right" : "center", color: "var(--ink)", fontSize: 11, width: Math.max(60, width * 0.42), overflow: "truncate" },
        };
      });
      const lines = d.works.map((_, w) => shown.filter((p) => front.has(p.i) && p.cell.w === w).sort((a, b) => a.v - b.v || place(a) - place(b)))
        .filter((line) => line.length > 1)
        .map((line) => ({ type: "line", silent: true, symbol: "none", z: 1, lineStyle: { color: "var(--edge)", width: 1.5, type: "dashed" }, data: line.map((p) => [p.v, place(p)]) }));
      const logX = metric.unit === "ns" && shown.length > 0;
      const [fromX, toX] = logX ? decades(shown.map(({ v }) => v)) : [0, null];
      const on = shown.filter((p) => front.has(p.i)).sort((a, b) => b.v - a.v);
      return {
        height: 400, top: bands ? 48 : 30,
        x: { type: logX ? "log" : "value", min: fromX, max: toX, name: metric.name + (metric.more ? " →" : " (less is better)"), nameLocation: "middle", nameGap: 28, axisLabel: { formatter: (v) => write[metric.unit](v) } },
        y: lost || !some.length ? { type: "value", min: 0, max: 1, name: lost ? "promises lost" : "exposure", axisLabel: { formatter: (v) => lost ? write.part(v) : v === 0 ? "0" : v === 1 && bands ? "LOSES" : "" } }
          : { type: "log", min: floor, max: bands ? band : top, name: "exposure", axisLabel: { formatter: (v) => v < low * 0.999 ? "0" : v > top * 1.001 ? "LOSES" : write.ms(v) } },
        series: [...lines, { type: "scatter", data: points, emphasis: { disabled: true }, z: 3 }],
        words: `${on.length} of ${shown.length} cells are unbeaten` + (all.length > shown.length ? `; ${all.length - shown.length} without a speed, a valid verdict${lost ? " or a promise" : ""} are not shown` : "") + ".",
        table: [["cell", metric.name, "verdict", "promises lost", "exposure", "unbeaten"],
          ...shown.map((p) => [p.cell.l, write[metric.unit](p.v), p.loss.v, p.loss.v === "NO_PROMISE" ? absent : write.part(p.loss.l), (p.loss.c ? "≥" : "") + write.ms(p.loss.e), front.has(p.i) ? "yes" : "no"])],
      };
    },

    heat(d, chosen, width, id) {
      const axes = varying(d), y = axes[chosen.y];
      const x = axes[chosen.x === chosen.y ? (chosen.y + 1) % axes.length : chosen.x];
      hideFixed(id, d, [x, y]);
      const metric = d.metrics[chosen.metric], [columns, rows] = [d.axes[x].values, d.axes[y].values];
      const cells = d.cells.filter(fixed(d, chosen, [x, y]));
      const measured = cells.filter((c) => c.m[chosen.metric]);
      const values = measured.map((c) => c.m[chosen.metric][0]);
      const tone = (v) => metric.unit === "ns" && v > 0 ? Math.log(v) : v;
      const [lo, hi] = [Math.min(...values.map(tone)), Math.max(...values.map(tone))];
      const best = chosen.metric < 2 && measured.length ? measured.reduce((a, b) => b.m[chosen.metric][0] > a.m[chosen.metric][0] ? b : a) : null;
      const place = (c) => chosen.metric ? "" : ["", " ★", " ≈"][c.p ?? 0];
      const text = (c) => write[metric.unit](c.m[chosen.metric][0]) + place(c);
      const grid = rows.map((_, r) => columns.map((_, k) => cells.find((c) => c.a[y] === r && c.a[x] === k)));
      const data = grid.flatMap((row, r) => row.map((c, k) => ({ value: [k, r], name: c ? c.l : "" })));
      const height = 60 + Math.max(26, Math.min(44, 420 / rows.length)) * rows.length;
      const left = Math.min(Math.max(...rows.map((t) => t.length)) * 7 + 16, Math.round(width * 0.35));
      const room = (width - left - 8) / columns.length, narrow = room < 76;
      const top = narrow ? 26 + Math.min(110, 6.5 * Math.max(...columns.map((t) => t.length))) : 40;
      return {
        height: height + top - 40, left, top, bottom: 12, right: 8,
        x: { type: "category", data: columns, position: "top", name: "", axisTick: { show: false }, splitLine: { show: false }, axisLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false, rotate: narrow ? 90 : 0, formatter: (t) => narrow ? t : `${d.axes[x].name}=${t}`, width: narrow ? 110 : room - 6, overflow: "truncate" } },
        y: { type: "category", data: rows, inverse: true, name: "", axisTick: { show: false }, splitLine: { show: false }, axisLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false, width: left - 10, overflow: "truncate" } },
        series: [{
          type: "custom", data, emphasis: { disabled: true }, renderItem: (params, api) => {
            const [k, r] = data[params.dataIndex].value, c = grid[r][k];
            const [cx, cy] = api.coord([k, r]), [w, h] = api.size([1, 1]);
            const has = c && c.m[chosen.metric];
            const part = has ? (hi > lo ? (tone(c.m[chosen.metric][0]) - lo) / (hi - lo) : 0.5) : 0;
            return { type: "group", children: [
              { type: "rect", shape: { x: cx - w / 2 + 1, y: cy - h / 2 + 1, width: w - 2, height: h - 2, r: 2 }, style: { fill: has ? "var(--heat)" : "var(--tint)", opacity: has ? 0.1 + 0.9 * part : 1 } },
              { type: "text", style: { text: has ? (narrow ? text(c).replace(/ ([★≈])/, "\n$1") : text(c)) : absent, x: cx, y: cy, align: "center", verticalAlign: "middle", fontSize: narrow ? 10 : 12, fontFamily: font(), fontWeight: c === best ? 700 : "normal", fill: has && part > 0.55 ? "var(--heat-ink)" : "var(--ink)" } },
            ] };
          },
        }],
        words: best ? `Most: ${label(d, best, [y, x])} with ${write[metric.unit](best.m[chosen.metric][0])} ${metric.name}.` : measured.length ? "" : "No cell has this figure at the values chosen.",
        table: [[`${d.axes[y].name} \\ ${d.axes[x].name}`, ...columns], ...rows.map((name, r) => [name, ...grid[r].map((c) => c && c.m[chosen.metric] ? text(c) : absent)])],
      };
    },

    // lines are what curves and blocks have in common: a line for each value of an axis.
    lines(d, chosen, id, values) {
      const axes = varying(d), along = axes[chosen.lines ?? 0];
      hideFixed(id, d, [along]);
      const cells = axes.length ? d.cells.filter(fixed(d, chosen, [along])) : d.cells;
      return cells.map((cell) => ({ name: along == null ? cell.l : d.axes[along].values[cell.a[along]], i: along == null ? 0 : cell.a[along], data: values(cell) }))
        .filter(({ data }) => data?.length);
    },

    // drawn are lines with their names at their ends, which have so much room.
    drawn(lines, width, room = Math.min(110, width * 0.24)) {
      return lines.map(({ name, i, data, thin }) => ({
        type: "line", name, data, showSymbol: !thin, symbol: symbols[i % 4], symbolSize: 6, color: colour(i), emphasis: { disabled: true }, connectNulls: false,
        itemStyle: { color: colour(i) }, lineStyle: { color: colour(i), width: thin ? 1.2 : 2, type: lineStyles[Math.floor(i / 2) % 4] },
        endLabel: { show: true, formatter: () => name, color: "var(--ink)", fontSize: 11, width: room, overflow: "truncate" }, labelLayout: { moveOverlap: "shiftY" },
      }));
    },

    curves(d, chosen, width, id) {
      const far = (q) => -Math.log10(1 - q);
      const lines = views.lines(d, chosen, id, (cell) => cell.c?.[chosen.kind]?.map((ns, i) => [far(d.quantiles[i]), ns]));
      const [from, to] = lines.length ? decades(lines.flatMap((l) => l.data.map(([, ns]) => ns))) : [1, 10];
      const last = Math.max(2, ...lines.map((l) => Math.ceil(l.data.at(-1)[0])));
      const marks = [0.5, 0.9, 0.99, 0.999, 0.9999];
      const at = (l, q) => { const i = d.quantiles.indexOf(q); return i >= 0 && l.data[i] ? write.ns(l.data[i][1]) : absent; };
      return {
        height: 380, right: Math.min(120, Math.round(width * 0.26)),
        x: { type: "value", min: 0, max: last, interval: 1, name: "percentile", nameLocation: "middle", nameGap: 28, axisLabel: { formatter: (v) => v === 0 ? "0" : Number((100 * (1 - 10 ** -v)).toFixed(4)) + "\u202f%" } },
        y: { type: "log", min: from, max: to, name: `${d.kinds[chosen.kind]} latency`, axisLabel: { formatter: (v) => duration(v) } },
        series: views.drawn(lines.map((l) => ({ ...l, thin: true })), width),
        words: lines.length ? "" : "No cell was measured at the values chosen.",
        table: [["", ...marks.map((q) => "p" + Number((100 * q).toFixed(2)))], ...lines.map((l) => [l.name, ...marks.map((q) => at(l, q))])],
      };
    },

    blocks(d, chosen, width, id) {
      const lines = views.lines(d, chosen, id, (cell) => cell.b?.map((b, i) => [b + 1, cell.r[i]]).sort((p, q) => p[0] - q[0]));
      const blocks = [...new Set(lines.flatMap((l) => l.data.map(([b]) => b)))].sort((a, b) => a - b);
      return {
        height: 340, right: Math.min(120, Math.round(width * 0.26)),
        x: { type: "value", min: blocks[0] ?? 0, max: blocks.at(-1) ?? 1, minInterval: 1, name: "block", nameLocation: "middle", nameGap: 28 },
        y: { type: "value", min: 0, name: "IOPS", axisLabel: { formatter: write.rate } },
        series: views.drawn(lines, width),
        words: lines.length ? "" : "No cell was measured at the values chosen.",
        table: [["block", ...lines.map((l) => l.name)], ...blocks.map((b) => [b, ...lines.map((l) => { const p = l.data.find(([x]) => x === b); return p ? write.rate(p[1]) : absent; })])],
      };
    },

    course(d, chosen, width) {
      const cell = d.cells.filter((c) => c.i?.length)[chosen.cell];
      const trials = cell.i.map((c, i) => ({ ...c, block: cell.b[i] + 1 })).filter((c) => c.v);
      const lines = trials.map(({ block, u, v }, i) => ({ name: `block ${block}`, i, thin: true, data: v.map((rate, s) => [Number(((s + 1) * u).toFixed(3)), rate]) }));
      const each = trials[0].u, end = Math.max(...trials.map(({ u, v }) => u * v.length));
      const long = trials.filter(({ s }) => s != null), steady = long.filter(({ s }) => s >= 0);
      const from = Math.max(...steady.map(({ s }) => s));
      const series = views.drawn(lines, width);
      if (steady.length && steady.length === trials.length) series[0].markArea = { silent: true, itemStyle: { color: "var(--track)", opacity: 0.7 }, label: { color: "var(--muted)", fontSize: 11, position: "insideTop" }, data: [[{ name: "steady", xAxis: from }, { xAxis: end }]] };
      return {
        height: 340, right: Math.min(90, Math.round(width * 0.2)),
        x: { type: "value", min: 0, max: end, name: "seconds", nameLocation: "middle", nameGap: 28 },
        y: { type: "value", min: 0, name: "IOPS", axisLabel: { formatter: write.rate } },
        series,
        words: (each === 1 ? "" : `Each point is the mean of ${each}\u202fs. `) +
          (!long.length ? "Trials of under a minute are too short to tell whether the rate is steady."
            : `${steady.length} of ${long.length} trials end steady` + (steady.length ? `, all of these from ${Math.round(from)}\u202fs on.` : ".")),
        table: [["seconds", ...lines.map((l) => l.name)], ...trials.reduce((a, b) => b.v.length > a.v.length ? b : a).v.map((_, s) => [Number(((s + 1) * each).toFixed(3)), ...trials.map(({ v }) => v[s] == null ? absent : write.rate(v[s]))])],
      };
    },

    exposure(d, chosen, width) {
      const which = chosen.work ? ofDisk(d) : varying(d);
      const all = d.strips.filter((s) => s.q === chosen.class && (!chosen.work || d.cells[s.c].w === chosen.work - 1)).map((s) => {
        // Between the worst points of two stretches it is not known where one ends: the worse counts.
        const spans = s.t.map((t, i) => ({ e: Math.max(s.e[i], s.e[i + 1] ?? 0), span: (s.t[i + 1] ?? s.z) - t })).filter(({ span }) => span > 0).sort((a, b) => a.e - b.e);
        const most = Math.max(...s.e), total = spans.reduce((sum, { span }) => sum + span, 0);
        if (!total) spans.push({ e: most, span: 1 });
        let done = 0;
        const steps = spans.map(({ e, span }) => ({ e, upTo: (done += span) / (total || 1) }));
        return { name: label(d, d.cells[s.c], which), most, least: d.cells[s.c].s?.[chosen.class]?.c, steps };
      });
      const at = (l, share) => l.steps.find(({ upTo }) => upTo >= share - 1e-9)?.e ?? l.most;
      const kept = new Set([...all].sort((a, b) => b.most - a.most).slice(0, 12)), lines = all.filter((l) => kept.has(l) && l.most > 0);
      const some = lines.flatMap((l) => l.steps.map(({ e }) => e)).filter((e) => e > 0);
      const [low, high] = some.length ? decades(some) : [1, 10];
      const right = Math.min(230, Math.round(width * 0.28)); // names of cells are long, and tell lines apart by their ends
      const floor = lines.some((l) => l.steps[0].e === 0) ? low / 10 : low, y = (e) => Math.max(e, floor);
      const series = views.drawn(lines.map((l, i) => ({ name: l.name, i, thin: true, data: [[0, y(l.steps[0].e)], ...l.steps.flatMap(({ e, upTo }, k) => [[k ? l.steps[k - 1].upTo : 0, y(e)], [upTo, y(e)]])] })), width, right - 40);
      const clean = all.filter((l) => l.most === 0).length;
      return {
        height: 340, right,
        x: { type: "value", min: 0, max: 1, name: "share of the log’s time", nameLocation: "middle", nameGap: 28, axisLabel: { formatter: write.part } },
        y: some.length ? { type: "log", min: floor, max: high, name: "exposure", axisLabel: { formatter: (v) => v < low * 0.999 ? "0" : write.ms(v) } }
          : { type: "value", min: 0, max: 1, name: "exposure", axisLabel: { formatter: (v) => v ? "" : "0" } },
        series,
        words: (clean ? `${clean} of ${all.length} cells expose nothing. ` : "") + (all.length - clean > lines.length ? `Of the others the ${lines.length} that expose most are drawn.` : ""),
        table: [["cell", "half of the time at most", "95\u202f% of the time at most", "at most"], ...all.map((l) => [l.name, write.ms(at(l, 0.5)), write.ms(at(l, 0.95)), (l.least ? "≥" : "") + write.ms(l.most)])],
      };
    },

    changes(d, chosen, width) {
      const all = d.changes.filter((c) => c.s === chosen.side && c.m === chosen.metric);
      const log = Math.log2, size = (c) => Math.abs(log(c.r[0]));
      const wanted = all.filter((c) => c.d || !chosen.show);
      const kept = new Set([...wanted].sort((a, b) => size(b) - size(a)).slice(0, pageRows));
      const rows = wanted.filter((c) => kept.has(c));
      const reach = 1.08 * Math.max(0.1, ...rows.flatMap((c) => c.r.map((v) => Math.abs(log(v)))));
      const left = Math.min(Math.max(8, ...rows.map((c) => c.c.length)) * 6.6 + 16, Math.round(width * 0.42));
      const times = (v) => "×" + Number((2 ** v).toPrecision(3));
      return {
        height: 80 + 24 * Math.max(1, rows.length), left, right: 72, top: 8,
        x: { type: "value", min: -reach, max: reach, name: `${d.metrics[chosen.metric]}, ${d.sides[chosen.side]}`, nameLocation: "middle", nameGap: 28, axisLabel: { formatter: times, showMinLabel: false, showMaxLabel: false } },
        y: { type: "category", data: rows.map((c) => c.c), inverse: true, name: "", axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false, width: left - 10, overflow: "truncate" } },
        series: [{
          type: "custom", data: rows.map((c, i) => ({ value: [log(c.r[0]), i], name: `${c.c}\n${c.t[0]} → ${c.t[1]}\n×${c.t[2]}, adjusted p ${c.t[3]}` })), emphasis: { disabled: true },
          markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: "var(--edge)", type: "solid", width: 1 }, data: [{ xAxis: 0 }] },
          renderItem: (params, api) => {
            const c = rows[params.dataIndex], ink = c.d ? "var(--ink)" : "var(--muted)";
            const [x, y] = api.coord([log(c.r[0]), params.dataIndex]);
            const children = [];
            if (c.r.length > 1) children.push(line(api.coord([log(c.r[1]), 0])[0], y, api.coord([log(c.r[2]), 0])[0], y, ink, 1.5));
            children.push(mark("circle", x, y, 4.5, { fill: c.d ? ink : "var(--paper)", stroke: ink, lineWidth: 1.5 }), words(times(log(c.r[0])), api.coord([reach, 0])[0] + 8, y, ink, c.d ? 600 : "normal"));
            return { type: "group", children };
          },
        }],
        words: `${all.filter((c) => c.d).length} of ${all.length} cells differ.` + (wanted.length > rows.length ? ` The ${rows.length} that changed most are drawn.` : ""),
        table: [["cell", ...d.sides[chosen.side].split(" / ").reverse(), `${d.sides[chosen.side]} (95\u202f%)`, "adjusted p", "differs"], ...wanted.map((c) => [c.c, ...c.t, c.d ? "yes" : "no"])],
      };
    },

    strips(d, chosen, width) {
      const lost = chosen.loss === 0, figure = (s) => lost ? s.l : s.e;
      const which = chosen.work ? ofDisk(d) : varying(d);
      const all = d.strips.filter((s) => s.q === chosen.class && (!chosen.work || d.cells[s.c].w === chosen.work - 1));
      const rows = all.slice(0, pageRows);
      const text = (s) => { const m = Math.max(...figure(s)); return lost ? (s.v === "NO_PROMISE" ? absent : group(m)) : write.ms(m); };
      const most = Math.max(1e-9, ...rows.flatMap(figure)), end = Math.max(1, ...rows.map((s) => s.z));
      const names = rows.map((s) => label(d, d.cells[s.c], which));
      const left = Math.min(Math.max(0, ...names.map((t) => t.length)) * 6.6 + 16, Math.round(width * 0.42));
      const begin = Math.min(...rows.map((s) => s.t[0]));
      return {
        height: 70 + 26 * Math.max(1, rows.length), left, right: 64, top: 8,
        x: { type: "value", min: Math.floor(begin / 100) * 100, max: Math.ceil(end / 100) * 100, name: "ms since the log began", nameLocation: "middle", nameGap: 28, axisLabel: { formatter: group } },
        y: { type: "category", data: names, inverse: true, name: "", axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false, width: left - 10, overflow: "truncate" } },
        series: [{
          type: "custom", data: rows.map((s, i) => ({ value: [s.z, i], name: `${names[i]}\n${lost ? "promises lost" : "exposed"} at most ${text(s)}` })), emphasis: { disabled: true },
          renderItem: (params, api) => {
            const s = rows[params.dataIndex], f = figure(s), h = api.size([0, 1])[1] * 0.8;
            const place = (ms) => api.coord([ms, params.dataIndex])[0];
            const base = api.coord([s.z, params.dataIndex])[1] + h / 2;
            const points = [[place(s.t[0]), base]];
            f.forEach((v, i) => {
              const top = base - (v > 0 ? Math.max(2.5, h * v / most) : 0); // however little is lost, it is to be seen
              points.push([place(s.t[i]), top], [place(s.t[i + 1] ?? s.z), top]);
            });
            points.push([place(s.z), base]);
            const children = [line(place(s.t[0]), base, place(s.z), base, "var(--edge)", 1)];
            if (f.some((v) => v > 0)) children.push({ type: "polygon", shape: { points }, style: { fill: lost ? "var(--bad)" : "var(--flush)", opacity: 0.85 } });
            children.push(words(text(s), place(end) + 8, base - h / 2, "var(--ink)"));
            return { type: "group", children };
          },
        }],
        words: (all.length > rows.length ? `The first ${rows.length} of ${all.length} cells are drawn: choose a workload to see the others. ` : "") +
          (rows.length ? `Each strip is drawn against ${lost ? group(most < 1 ? 0 : most) + " lost promises" : write.ms(most < 1e-6 ? 0 : most) + " of exposure"}, the most of any.` : "No log was judged under this failure."),
        table: [["cell", "promises lost, at most", "first lost by", "exposure, at most", "stretches"], ...rows.map((s, i) => {
          const first = s.l.findIndex((v) => v > 0);
          return [names[i], s.v === "NO_PROMISE" ? absent : group(Math.max(...s.l)), first < 0 ? absent : group(s.t[first]) + "\u202fms", write.ms(Math.max(...s.e)), s.t.length];
        })],
      };
    },
  };

  views.timeline = (d, chosen, width) => {
    const t = d.timelines[chosen.loss], timed = chosen.axis === 1, steps = t.e.length;
    const rows = [...t.a.map((l) => l.n), ...(t.w.some(Boolean) ? ["in flight"] : []), "page cache", "drive’s cache", ...(t.w.some(Boolean) ? ["medium"] : [])];
    const at = (i) => timed ? t.t[i] : i;
    const cut = timed ? t.m : t.c + 0.5, first = at(0), last = at(steps - 1) + (timed ? 0 : 1);
    const begin = timed && t.t[t.z[0]] === t.t[t.z[1]] ? first : at(t.z[0]), end = at(t.z[1]) + (timed ? (t.t[t.z[1]] - t.t[t.z[0]]) * 0.02 : 1);
    const left = width < 600 ? 98 : 112;
    const data = [];
    // [row, from, to, shape, ink, height, text]: in steps, or in ms.
    const add = (row, from, to, shape, ink, part, text, label) => data.push({ value: [from, row, to, shape, ink, part, label], name: text });
    t.a.forEach((lane, row) => {
      for (const [kind, from, to, lost, text, label] of lane.s ?? [])
        add(row, at(from), timed ? at(to) : to, "span", lost ? "var(--bad)" : kind === "flush" ? "var(--flush)" : kind === "dsync" ? "var(--heat)" : "var(--bar)", 0.62, `${text}\nevent ${t.e[from]}, ${t.t[from]}\u202fms – event ${t.e[to]}, ${t.t[to]}\u202fms${lost ? "\nlost" : ""}`, label);
      for (const [kind, i, lost, text] of lane.k ?? [])
        add(row, at(i), at(i), { promise: "triangle", acknowledged: "circle" }[kind] ?? "diamond", lost ? "var(--bad)" : kind === "promise" ? "var(--read)" : kind === "acknowledged" ? "var(--muted)" : "var(--flush)", 1, `${text}\nevent ${t.e[i]}, ${t.t[i]}\u202fms${lost ? "\nthe crash breaks it" : ""}`);
    });
    // Runs of steps with one value, each from its step to the next run's.
    const runs = (values, row, draw) => {
      for (let i = 0, k; i < steps; i = k) {
        for (k = i + 1; k < steps && values[k] === values[i];) k++;
        if (values[i]) draw(values[i], row, at(i), k < steps ? at(k) : last);
      }
    };
    const holders = { flight: "in flight", host: "page cache", drive: "drive’s cache", medium: "medium" };
    for (const [name, bytes] of [["page cache", t.h], ["drive’s cache", t.d]]) {
      const most = Math.max(1, ...bytes);
      runs(bytes, rows.indexOf(name), (v, row, from, to) => add(row, from, to, "level", "var(--edge)", 0.25 + 0.6 * v / most, `${name}: ${group(v)} bytes that are not below it`));
    }
    runs(t.w, 0, (v, _, from, to) => add(rows.indexOf(holders[v]), from, to, "held", v === "medium" ? "var(--read)" : "var(--bad)", 0.3, `the lost write: ${holders[v]}`));
    const room = width - left - 16;
    return {
      height: 118 + 26 * rows.length, left, right: 16, top: 22, bottom: 84,
      x: { type: "value", min: first, max: last, minInterval: timed ? 0 : 1, name: timed ? "ms since the log began" : "event of the log", nameLocation: "middle", nameGap: 24, splitNumber: Math.max(2, Math.round(room / 110)),
        axisLabel: { formatter: (v) => timed ? String(Number(v.toFixed(3))) : t.e[v] ? group(t.e[v]) : "" }, splitLine: { show: false } },
      y: { type: "category", data: rows.map((n, i) => ({ value: `${i}`, n })), inverse: true, name: "", axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: true, interval: 0, lineStyle: { color: "var(--rule)" } }, axisLabel: { interval: 0, hideOverlap: false, formatter: (i) => rows[i], width: left - 10, overflow: "truncate" } },
      zoom: [
        { type: "inside", filterMode: "none", startValue: begin, endValue: end, zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false },
        { type: "slider", filterMode: "none", startValue: begin, endValue: end, bottom: 6, height: 18, showDataShadow: false, brushSelect: false, showDetail: false, borderColor: "var(--edge)", backgroundColor: "var(--tint)", fillerColor: "var(--track)", handleStyle: { color: "var(--paper)", borderColor: "var(--muted)" }, moveHandleStyle: { color: "var(--edge)" }, emphasis: { handleStyle: { color: "var(--paper)", borderColor: "var(--ink)" }, moveHandleStyle: { color: "var(--muted)" } } },
      ],
      series: [{
        type: "custom", data, clip: true, emphasis: { disabled: true }, encode: { x: [0, 2], y: 1 },
        markLine: { silent: true, symbol: "none", animation: false, lineStyle: { color: "var(--bad)", type: "solid", width: 1.5 }, label: { formatter: "cut", color: "var(--bad)", position: "start", fontSize: 12 }, data: [{ xAxis: cut }, ...(timed ? [] : (t.g ?? []).map((i) => ({ xAxis: i - 0.5, lineStyle: { color: "var(--edge)", type: "dotted" }, label: { formatter: "…", color: "var(--muted)", position: "start" } })))] },
        markArea: { silent: true, itemStyle: { color: "var(--tint)", opacity: 0.8 }, data: [[{ xAxis: cut }, { xAxis: last }]] },
        renderItem: (params, api) => {
          const [from, row, to, shape, ink, part, label] = data[params.dataIndex].value;
          const [x, y] = api.coord([from, row]), wide = api.coord([to, row])[0], h = api.size([0, 1])[1];
          const box = params.coordSys, l = Math.max(x, box.x), r = Math.min(Math.max(wide, x + 2), box.x + box.width);
          const rect = (top, height, style) => r > l && { type: "rect", shape: { x: l, y: top, width: r - l, height, r: 1 }, style };
          if (shape === "span") {
            const bar = rect(y - h * part / 2, h * part, { fill: ink, opacity: ink === "var(--bad)" ? 1 : 0.75 });
            if (!bar || !label || r - l < 8 + 7 * label.length) return bar;
            return { type: "group", children: [bar, words(label, (l + r) / 2, y, "var(--paper)", 600, "center")] };
          }
          if (shape === "level") return rect(y + h * 0.42 - h * part, h * part, { fill: ink, opacity: 0.6 });
          if (shape === "held") return rect(y - h * part / 2, h * part, { fill: ink });
          return x >= box.x && x <= box.x + box.width && mark(shape, x, y, Math.min(5, h / 4), { fill: ink, stroke: "var(--paper)", lineWidth: 1 });
        },
      }],
      words: "",
      table: [["event", "ms", "what"], ...t.e.flatMap((e, i) => [[group(e), t.t[i].toFixed(3), ((t.l ?? []).includes(i) ? "lost: " : "") + t.x[i]], ...(i === t.c ? [["cut", t.m.toFixed(3), "the crash; what follows would have come"]] : [])])],
    };
  };

  // within puts parts over an axis of the option as it came.
  const within = (axis, parts) => ({ ...axis, ...parts, axisLabel: { ...axis.axisLabel, ...parts.axisLabel } });

  const compose = (option, view, width) => ({
    ...option,
    textStyle: { fontFamily: font() },
    tooltip: { show: true, trigger: "item", renderMode: "richText", confine: true, formatter: (p) => p.name || p.seriesName, backgroundColor: "var(--paper)", borderColor: "var(--edge)", textStyle: { color: "var(--ink)", fontSize: 12, fontFamily: font() } },
    grid: { left: view.left ?? 68, top: view.top ?? 30, right: view.right ?? 24, bottom: view.bottom ?? 46 },
    xAxis: [within(option.xAxis[0], view.x)],
    dataZoom: view.zoom,
    yAxis: [within({ ...option.yAxis[0], nameTextStyle: { align: "left", padding: [0, 0, 0, -40] } }, view.y)],
    series: view.series,
  });

  const fill = (table, rows) => {
    const cell = (name, text, scope) => {
      const e = document.createElement(name);
      e.textContent = String(text);
      if (scope) e.scope = scope;
      return e;
    };
    const row = (cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr; };
    const head = document.createElement("thead"), body = document.createElement("tbody");
    head.append(row(rows[0].map((t) => cell("th", t, "col"))));
    body.append(...rows.slice(1).map((r) => row(r.map((t, i) => i ? cell("td", t) : cell("th", t, "row")))));
    table.replaceChildren(head, body);
  };

  const parsed = new Map(); // the data of each run, read once
  const dataOf = (id) => {
    if (!parsed.has(id)) parsed.set(id, JSON.parse(document.getElementById(id).textContent));
    return parsed.get(id);
  };
  const choosersOf = (id) => [...document.querySelectorAll(`select[id^="${id}-"]`)];

  const prepare = (element) => {
    const { draw, from } = element.dataset;
    const text = document.getElementById(element.id + "-option").textContent;
    let chart, drawn = 0;
    const paint = () => {
      const width = element.clientWidth;
      if (!width) return;
      drawn = width;
      const chosen = Object.fromEntries(choosersOf(element.id).map((s) => [s.id.slice(element.id.length + 1), Number(s.value)]));
      const option = JSON.parse(text);
      let height, whole;
      if (views[draw]) {
        const view = views[draw](dataOf(from), chosen, width, element.id);
        [height, whole] = [view.height, compose(option, view, width)];
        document.getElementById(element.id + "-words").textContent = view.words;
        fill(document.getElementById(element.id + "-numbers"), view.table);
      } else {
        const rows = option.yAxis[0].data.length, each = (element.dataset.height - 34) / rows;
        height = 34 + each * page(option, chosen.rows || 0);
        whole = complete(option, draw, width);
      }
      element.style.height = height + "px";
      chart ??= echarts.init(element, null, { renderer: "svg" });
      chart.resize();
      chart.setOption(whole, { notMerge: true });
    };
    return { id: element.id, paint, fit: () => { if (element.clientWidth !== drawn) paint(); }, element };
  };
  const charts = [...document.querySelectorAll(".chart")].map(prepare);

  // ---- What is chosen: selects by their ids and tables by how they are sorted, in the fragment as far as it is not as it came.

  const selects = [...document.querySelectorAll("select[id]")];
  const first = new Map(selects.map((s) => [s, s.value]));
  const sorted = new Map();

  const show = (select) => {
    for (const e of document.querySelectorAll(`[data-shown="${select.id}"], [data-row="${select.id}"]`)) e.hidden = e.dataset.value !== select.value;
  };

  const remember = () => {
    const state = new URLSearchParams();
    for (const s of selects) if (s.value !== first.get(s)) state.set(s.id, s.value);
    for (const [table, { column, down }] of sorted) state.set(table.id, (down ? "-" : "") + column);
    const text = String(state);
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  };

  const changed = (select) => {
    show(select);
    for (const c of charts) if (select.id.startsWith(c.id + "-")) c.paint();
  };

  // ---- Tables sort by the buttons in their heads.

  const sizes = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };
  const rank = (text) => {
    const m = text.replace(/\u202f/g, "").replace(/^[≥<×]/, "").match(/^(-?[\d.]+(?:e[+-]?\d+)?)(?:\s*(ns|µs|ms|s|B|KiB|MiB|GiB|TiB)\b)?/);
    return m ? m[1] * (sizes[m[2]] ?? 1) : NaN;
  };
  const textOf = (row, column) => row.cells[column]?.textContent.trim() ?? "";
  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => ({ row, text: textOf(row, column), n: rank(textOf(row, column)) }));
    const way = down ? -1 : 1;
    keyed.sort((a, b) => {
      if (isNaN(a.n) !== isNaN(b.n)) return isNaN(a.n) ? 1 : -1; // what has no number comes last both ways
      return way * (isNaN(a.n) ? a.text.localeCompare(b.text) : a.n - b.n);
    });
    body.append(...keyed.map(({ row }) => row));
    for (const th of table.tHead.querySelectorAll("[aria-sort]")) th.removeAttribute("aria-sort");
    table.tHead.querySelector(`[data-column="${column}"]`)?.setAttribute("aria-sort", down ? "descending" : "ascending");
    sorted.set(table, { column, down });
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const taken = []; // the columns of each row of the head that cells from above reach into
    [...table.tHead.rows].forEach((row, r) => {
      let column = 0;
      for (const th of row.cells) {
        while (taken[r]?.[column]) column++;
        for (let down = 0; down < th.rowSpan; down++) for (let k = 0; k < th.colSpan; k++) (taken[r + down] ??= [])[column + k] = true;
        if (th.scope === "col") {
          const at = column, button = document.createElement("button");
          button.type = "button";
          button.append(...th.childNodes);
          th.append(button);
          th.dataset.column = at;
          button.addEventListener("click", () => {
            const now = sorted.get(table);
            sort(table, at, now?.column === at ? !now.down : th.classList.contains("n"));
            remember();
          });
        }
        column += th.colSpan;
      }
    });
  }

  // restore takes over what the fragment says; a fragment that is a place in the page says nothing.
  const restore = () => {
    const text = decodeURIComponent(location.hash.slice(1));
    if (text && !location.hash.includes("=")) return;
    const state = new URLSearchParams(location.hash.slice(1));
    for (const s of selects) {
      const value = state.get(s.id) ?? first.get(s);
      if (s.value !== value && [...s.options].some((o) => o.value === value)) s.value = value;
      show(s);
    }
    for (const table of document.querySelectorAll("table[data-sortable]")) {
      const m = /^(-?)(\d{1,3})$/.exec(state.get(table.id) ?? "");
      if (m) sort(table, Number(m[2]), m[1] === "-");
    }
  };

  for (const s of selects) s.addEventListener("change", () => { changed(s); remember(); });
  restore();
  addEventListener("hashchange", () => { restore(); for (const c of charts) c.paint(); });

  // The answer and the tables are there at once; the charts follow one by one, so that the page answers meanwhile.
  const later = window.requestIdleCallback ? (f) => requestIdleCallback(f, { timeout: 200 }) : (f) => setTimeout(f, 0);
  const watch = new ResizeObserver((entries) => { for (const e of entries) charts.find((c) => c.element === e.target)?.fit(); });
  const waiting = [...charts];
  const next = () => {
    const c = waiting.shift();
    if (!c) {
      document.documentElement.dataset.drawn = String(charts.length);
      return;
    }
    c.fit();
    watch.observe(c.element);
    later(next);
  };
  later(next);

  // On paper nothing can be unfolded, and the width is another.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.licence):not(.raw):not(.numbers)")];
    for (const details of folded) details.open = true;
    for (const c of charts) c.fit();
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    for (const c of charts) c.fit();
  });
})();
