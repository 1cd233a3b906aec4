// Words at the steps that fulfil the label rules, the longest step first; a word that finds no free place is left out.
(() => {
  if (window.hiddenstateLabels) return
  const MOST = 24
  const context = document.createElement("canvas").getContext("2d")
  // A plot that has not been laid out yet has no size, and says so by throwing.
  const sized = (plot) => {
    try {
      return plot.inner_width > 0 && plot.inner_height > 0
    } catch {
      return false
    }
  }
  // Numbers of the steps to be labelled, by falling weight.
  const chosen = (steps, rules) => {
    const rule = (name) => rules.data[name]?.[0]
    const count = steps.data.word?.length ?? 0
    const weight = new Map()
    const take = (step, value) => {
      if (step >= 0 && value > (weight.get(step) ?? -1)) weight.set(step, value)
    }
    const kinds = [
      ["distance", steps.data.jump, rule("distance_threshold") / 100],
      ["change", steps.data.change, rule("change_threshold") / 100],
      ["flip", steps.data.flip, 1],
    ]
    for (const [kind, values, least] of kinds) {
      const [after, before] = [rule(`label_after_${kind}`), rule(`label_before_${kind}`)]
      if (!after && !before) continue
      // The first word has no step before it.
      for (let step = 1; step < count; step++) {
        if (!(values[step] >= least)) continue
        if (after) take(step, values[step])
        if (before) take(step - 1, values[step])
      }
    }
    return Array.from(weight.keys()).sort((a, b) => weight.get(b) - weight.get(a) || a - b)
  }
  // Words beyond the one that is held have their places, so that the others keep theirs, but are not shown yet.
  window.hiddenstateLabels = (map, rules, font, held = -1) => {
    const { plot, steps, labels } = map
    if (!plot || !rules || !sized(plot)) return
    const out = { x: [], y: [], text: [], dx: [], dy: [] }
    const [xs, ys, words] = [steps.data.x ?? [], steps.data.y ?? [], steps.data.word ?? []]
    const [left, bottom] = [plot.x_range.start, plot.y_range.start]
    const across = plot.inner_width / (plot.x_range.end - left)
    const up = plot.inner_height / (plot.y_range.end - bottom)
    const taken = []
    context.font = font
    for (const i of chosen(steps, rules)) {
      if (out.x.length >= MOST) break
      if (!Number.isFinite(xs[i])) continue
      const text = words[i].length > 24 ? `${words[i].slice(0, 23)}…` : words[i]
      const wide = context.measureText(text).width + 2
      const px = (xs[i] - left) * across
      const py = (ys[i] - bottom) * up
      for (const [dx, dy] of [[8, 7], [-8 - wide, 7], [8, -19], [-8 - wide, -19], [-wide / 2, 11], [-wide / 2, -24]]) {
        const box = [px + dx, py + dy, px + dx + wide, py + dy + 13]
        const inside = box[0] >= 0 && box[2] <= plot.inner_width && box[1] >= 0 && box[3] <= plot.inner_height
        if (!inside || taken.some((t) => t[0] < box[2] && box[0] < t[2] && t[1] < box[3] && box[1] < t[3])) continue
        taken.push(box)
        if (held >= 0 && i > held) break
        out.x.push(xs[i])
        out.y.push(ys[i])
        out.text.push(text)
        out.dx.push(dx)
        out.dy.push(-dy)
        break
      }
    }
    if (out.text.length || labels.data.text?.length) labels.data = out
  }
})()
