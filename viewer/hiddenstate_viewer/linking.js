// One cursor for all views of a page: hovering a word, a column, a bar or a point marks its counterparts everywhere.
// It runs in the browser alone, so it needs no server and works in a report opened from a file.
(() => {
  if (window.hiddenstate) return
  const pages = new Map()
  const MOST_LABELS = 16
  const REACH = 14 // pixels within which a point of the trajectory is taken to be meant

  const deep = (root, selector) => {
    const found = root.querySelector(selector)
    if (found) return found
    for (const element of root.querySelectorAll("*")) {
      if (!element.shadowRoot) continue
      const inner = deep(element.shadowRoot, selector)
      if (inner) return inner
    }
    return null
  }
  const element = (page, name) => {
    const kept = page.elements[name]
    if (kept?.isConnected) return kept
    return (page.elements[name] = deep(document, `.${name}[data-page="${page.id}"]`))
  }
  const column = (source, name) => source.data[name] ?? []
  // A plot that has not been laid out yet has no size, and says so by throwing.
  const sized = (plot) => {
    try {
      return plot.inner_width > 0 && plot.inner_height > 0
    } catch {
      return false
    }
  }
  const scale = (plot) => [
    plot.inner_width / (plot.x_range.end - plot.x_range.start),
    plot.inner_height / (plot.y_range.end - plot.y_range.start),
  ]

  const readout = (page) => {
    const line = element(page, "hs-readout")
    if (!line) return
    line.replaceChildren()
    if (page.step < 0) {
      line.append(line.dataset.hint ?? "")
      return
    }
    const at = (name) => column(page.steps, name)[page.step]
    const word = document.createElement("b")
    word.textContent = at("word")
    line.append(`${page.step + 1}  `, word, `  ${at("predicted")} ${(100 * at("confidence")).toFixed(1)} %`)
    const jump = at("jump")
    if (Number.isFinite(jump)) line.append(`  ·  step ${jump.toFixed(2)}`)
  }

  const mark = (page, step, from) => {
    const count = column(page.steps, "word").length
    const next = Number.isInteger(step) && step >= 0 && step < count ? step : -1
    if (next === page.step) return
    page.step = next
    const words = element(page, "hs-words")
    if (words) {
      words.querySelector(".hs-on")?.classList.remove("hs-on")
      const word = next < 0 ? null : words.querySelector(`[data-step="${next}"]`)
      if (word) {
        word.classList.add("hs-on")
        if (from !== "words") {
          const low = word.offsetTop - words.offsetTop
          if (low < words.scrollTop || low + word.offsetHeight > words.scrollTop + words.clientHeight)
            words.scrollTop = low - words.clientHeight / 2
        }
      }
    }
    for (const box of page.boxes)
      box.setv(next < 0 ? { visible: false } : { left: next + 0.5, right: next + 1.5, visible: true })
    if (page.focus) {
      const x = column(page.steps, "x")[next]
      const y = column(page.steps, "y")[next]
      page.focus.data = Number.isFinite(x) ? { x: [x], y: [y] } : { x: [], y: [] }
    }
    readout(page)
  }

  const nearest = (page, x, y) => {
    const xs = column(page.steps, "x")
    const ys = column(page.steps, "y")
    const [across, up] = scale(page.map)
    let best = -1
    let least = REACH * REACH
    for (let i = 0; i < xs.length; i++) {
      const dx = (xs[i] - x) * across
      const dy = (ys[i] - y) * up
      const squared = dx * dx + dy * dy
      if (squared < least) [best, least] = [i, squared]
    }
    return best
  }

  // Words at the longest steps, the longest first; a word that finds no free place is left out.
  const context = document.createElement("canvas").getContext("2d")
  const label = (page) => {
    if (!page.labels || !page.map || !sized(page.map)) return
    const out = { x: [], y: [], text: [], dx: [], dy: [] }
    const threshold = page.threshold ? page.threshold.value / 100 : 1
    const jumps = column(page.steps, "jump")
    if (threshold < 1 && jumps.length) {
      const xs = column(page.steps, "x")
      const ys = column(page.steps, "y")
      const words = column(page.steps, "word")
      const [across, up] = scale(page.map)
      const [left, bottom] = [page.map.x_range.start, page.map.y_range.start]
      const order = Array.from(jumps.keys()).filter((i) => jumps[i] >= threshold && Number.isFinite(xs[i]))
      order.sort((a, b) => jumps[b] - jumps[a])
      const taken = []
      context.font = page.font
      for (const i of order.slice(0, MOST_LABELS)) {
        const text = words[i].length > 24 ? `${words[i].slice(0, 23)}…` : words[i]
        const wide = context.measureText(text).width + 2
        const px = (xs[i] - left) * across
        const py = (ys[i] - bottom) * up
        for (const [dx, dy] of [[8, 7], [-8 - wide, 7], [8, -19], [-8 - wide, -19], [-wide / 2, 11], [-wide / 2, -24]]) {
          const box = [px + dx, py + dy, px + dx + wide, py + dy + 13]
          const inside = box[0] >= 0 && box[2] <= page.map.inner_width && box[1] >= 0 && box[3] <= page.map.inner_height
          if (!inside || taken.some((t) => t[0] < box[2] && box[0] < t[2] && t[1] < box[3] && box[1] < t[3])) continue
          taken.push(box)
          out.x.push(xs[i])
          out.y.push(ys[i])
          out.text.push(text)
          out.dx.push(dx)
          out.dy.push(-dy)
          break
        }
      }
    }
    page.labels.data = out
  }
  const relabel = (page) => {
    if (page.pending) return
    page.pending = requestAnimationFrame(() => {
      page.pending = 0
      label(page)
    })
  }

  // Both axes of a map have one scale, whatever the shape of its frame.
  const fit = (page, whole) => {
    const plot = page.map
    if (!plot || !sized(plot) || !page.extent) return
    const [x0, x1, y0, y1] = page.extent.tags
    const [xr, yr] = [plot.x_range, plot.y_range]
    const was = page.fitted
    const moved = was && (xr.start !== was[0] || xr.end !== was[1] || yr.start !== was[2] || yr.end !== was[3])
    // Until the reader moves the map it shows everything; after that, a new size of the frame keeps place and scale.
    const [left, right, low, high] = whole || !moved ? [x0, x1, y0, y1] : [xr.start, xr.end, yr.start, yr.end]
    const [cx, cy] = [(left + right) / 2, (low + high) / 2]
    const unit =
      whole || !moved
        ? Math.max((right - left) / plot.inner_width, (high - low) / plot.inner_height)
        : (right - left) / page.width
    const [w, h] = [(unit * plot.inner_width) / 2, (unit * plot.inner_height) / 2]
    xr.setv({ start: cx - w, end: cx + w })
    yr.setv({ start: cy - h, end: cy + h })
    page.width = plot.inner_width
    page.fitted = whole || !moved ? [xr.start, xr.end, yr.start, yr.end] : was
    relabel(page)
    const size = [plot.inner_width, plot.inner_height]
    if (size.join() !== page.size) {
      page.size = size.join()
      ask(page, "size", size)
    }
  }

  const ask = (page, name, value) => {
    if (!page.commands) return
    page.asked = (page.asked ?? 0) + 1
    page.commands.data = { name: [name], value: [value], count: [page.asked] }
  }

  const pageOf = (path) => {
    for (const node of path) if (node.dataset?.page) return pages.get(node.dataset.page)
    return undefined
  }
  // Moves are heard rather than entries: an entry from one word to the next never leaves their shadow tree.
  let reading = null
  document.addEventListener("pointermove", (event) => {
    const path = event.composedPath()
    const page = pageOf(path)
    if (page) {
      const word = path.find((node) => node.dataset?.step !== undefined)
      mark(page, word ? Number(word.dataset.step) : -1, "words")
    } else if (reading) mark(reading, -1, "words")
    reading = page
  }, true)
  document.addEventListener("keydown", (event) => {
    const target = event.composedPath()[0]
    for (const page of pages.values()) {
      if (!page.keys) continue
      if (event.key === "Escape") ask(page, "clear", 0)
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || target.role === "slider" || target.isContentEditable
      const busy = typing || target.classList?.contains("noUi-handle")
      if (busy || event.ctrlKey || event.metaKey || event.altKey) continue
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        ask(page, "move", event.key === "ArrowDown" ? 1 : -1)
        event.preventDefault()
      }
    }
  })

  window.hiddenstate = {
    pages,
    register(id, models) {
      if (pages.has(id)) return
      pages.set(id, { id, step: -1, elements: {}, ...models })
      this.refresh(id)
    },
    refresh(id) {
      const page = pages.get(id)
      if (!page) return
      mark(page, -1)
      readout(page)
      relabel(page)
    },
    at(id, x) {
      const page = pages.get(id)
      if (page) mark(page, Math.round(x) - 1)
    },
    over(id, x, y) {
      const page = pages.get(id)
      if (page) mark(page, nearest(page, x, y))
    },
    leave(id) {
      const page = pages.get(id)
      if (page) mark(page, -1)
    },
    relabel(id) {
      const page = pages.get(id)
      if (page) relabel(page)
    },
    fit(id, whole) {
      const page = pages.get(id)
      if (page) fit(page, whole)
    },
    // What is marked, for tests and for scripts: the step, and where each view shows it.
    marked(id) {
      const page = pages.get(id ?? pages.keys().next().value)
      if (!page) return null
      return {
        step: page.step,
        word: element(page, "hs-words")?.querySelector(".hs-on")?.dataset.step ?? null,
        boxes: page.boxes.map((box) => (box.visible ? (box.left + box.right) / 2 - 1 : null)),
        point: page.focus ? [column(page.focus, "x")[0] ?? null, column(page.focus, "y")[0] ?? null] : null,
        labels: page.labels ? Array.from(column(page.labels, "text")) : [],
      }
    },
  }
})()
