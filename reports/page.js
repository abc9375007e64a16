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
    // [row, p50, p99, lane, lanes]
    latency: (series) => (params, api) => {
      const { name, value: [row, p50, p99, lane, lanes] } = series.data[params.dataIndex];
      const colour = series.itemStyle.color;
      const y = api.coord([p50, row])[1] + (lane - (lanes - 1) / 2) * 14;
      const [from, to] = [api.coord([p50, row])[0], api.coord([p99, row])[0]];
      return {
        type: "group",
        children: [
          line(from, y, to, y, colour, 2),
          mark(series.symbol, from, y, 4, { fill: "var(--paper)", stroke: colour, lineWidth: 1.5 }),
          mark(series.symbol, to, y, 4, { fill: colour, stroke: colour, lineWidth: 1.5 }),
          words(name, to + 9, y, "var(--ink)"),
        ],
      };
    },
    // [row, layer, part of the fullest bar or null]
    flushes: (series) => (params, api) => {
      const { name, value: [row, layer, part] } = series.data[params.dataIndex];
      const [middle, y] = api.coord([layer, row]);
      const width = api.size([1, 1])[0] * 0.82;
      const x = middle - width / 2;
      const children = [words(name, middle, y - 5, part ? "var(--ink)" : "var(--muted)", part ? 600 : "normal", "center")];
      if (part != null) {
        const bar = (w, fill) => ({ type: "rect", shape: { x, y: y + 5, width: w, height: 5, r: 1 }, style: { fill } });
        children.push(bar(width, "var(--track)"));
        if (part > 0) children.push(bar(Math.max(width * part, 1.5), series.itemStyle.color));
      }
      return { type: "group", children };
    },
  };

  const ticks = { iops: group, latency: duration };

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

  const charts = [...document.querySelectorAll(".chart")].map((element) => {
    element.style.height = element.dataset.height + "px";
    const text = document.getElementById(element.id + "-option").textContent;
    const chart = echarts.init(element, null, { renderer: "svg" });
    let drawn = 0;
    const fit = () => {
      const width = element.clientWidth;
      if (!width || width === drawn) return;
      drawn = width;
      chart.resize();
      chart.setOption(complete(JSON.parse(text), element.dataset.draw, width), { notMerge: true });
    };
    fit();
    new ResizeObserver(fit).observe(element);
    return fit;
  });

  // On paper nothing can be unfolded, and the width is another.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.licence)")];
    for (const details of folded) details.open = true;
    for (const fit of charts) fit();
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    for (const fit of charts) fit();
  });
  document.documentElement.dataset.drawn = String(charts.length);
})();
