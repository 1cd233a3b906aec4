// A map in the browser: its window, its tools, its one tooltip. It asks the server for pictures, one at a time.
(() => {
  if (window.hiddenstateMaps) return
  const maps = new Map()
  const REST = 25 // ms that the pointer must rest before it is told what lies under it
  const PAUSE = 70 // ms without a move after which a map that is dragged is drawn anew: more than between two moves
  const EVERY = 160 // ms after which it is at any rate
  const APART = 60 // ms between a picture that is asked for and one that takes its place
  const PATIENCE = 4000 // ms after which a picture that never came is asked for again
  const REACH = 9 // pixels within which a state is taken to be meant
  const BESIDE = 5 // pixels within which a line is
  const pointer = { x: 0, y: 0, mode: "replace", down: false }

  const noted = (event) => {
    pointer.x = event.clientX
    pointer.y = event.clientY
    pointer.down = event.buttons > 0
    if (event.type === "pointerdown") for (const map of maps.values()) map.held = 0
    pointer.mode = event.shiftKey ? "add" : event.altKey || event.ctrlKey || event.metaKey ? "remove" : "replace"
  }
  for (const name of ["pointermove", "pointerdown", "pointerup"]) document.addEventListener(name, noted, true)

  // A plot that has not been laid out yet has no size, and says so by throwing.
  const sized = (plot) => {
    try {
      return plot.inner_width > 0 && plot.inner_height > 0
    } catch {
      return false
    }
  }
  const windowOf = (plot) => [plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end]
  const column = (source, name) => source.data[name] ?? []

  const ask = (map, name, value) => {
    map.asked += 1
    map.request.data = { name: [name], value: [value], serial: [map.asked] }
    return map.asked
  }

  // One picture is on its way; when it has come, the newest window is asked for if it is another one. Where the map
  // rests, its picture is asked for at once, and takes the place of the one on its way.
  const look = (map, resting = false) => {
    map.rests ||= resting
    if (map.pending) return
    map.pending = requestAnimationFrame(() => {
      map.pending = 0
      const rests = map.rests
      map.rests = false
      if (!sized(map.plot) || !map.fitted) return
      const wanted = [...windowOf(map.plot), Math.round(map.plot.inner_width), Math.round(map.plot.inner_height), map.home]
      if (wanted.join() === map.wanted) return
      const now = performance.now()
      if (map.waiting && now - map.since < PATIENCE) {
        if (!rests || now - map.since < APART) {
          map.stale = true
          return
        }
      }
      map.wanted = wanted.join()
      map.since = now
      map.stale = false
      map.waiting = ask(map, "window", wanted)
      clearTimeout(map.late)
      map.late = setTimeout(() => {
        if (!map.waiting) return
        map.waiting = 0
        map.wanted = ""
        look(map)
      }, PATIENCE)
    })
  }

  const answered = (map) => {
    const [serial, count] = ["serial", "count"].map((name) => column(map.reply, name)[0] ?? 0)
    if (serial >= map.waiting) map.waiting = 0
    map.pictures = count
    // Two frames on, what has been set is on the screen; the server then sends what can wait.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (!map.shown) ask(map, "shown", [])
        map.shown = count
      })
    )
    if (map.stale || !map.waiting) look(map)
    // Bokeh (3.9) takes models that a message has brought for new ones of the browser's own, and sends them back whole
    // with whatever the reader does first. A message about none of them has it think better.
    if (column(map.reply, "came").length) setTimeout(() => ask(map, "came", []))
  }

  // Both axes have one scale, whatever the shape of the frame.
  const place = (map, window) => {
    const [x0, x1, y0, y1] = window
    const { inner_width: wide, inner_height: high } = map.plot
    const unit = Math.max((x1 - x0) / wide, (y1 - y0) / high)
    const [cx, cy, w, h] = [(x0 + x1) / 2, (y0 + y1) / 2, (unit * wide) / 2, (unit * high) / 2]
    map.plot.x_range.setv({ start: cx - w, end: cx + w })
    map.plot.y_range.setv({ start: cy - h, end: cy + h })
    map.unit = unit
    map.fitted = true
    look(map)
  }
  const whole = (map) => {
    map.home = true
    place(map, column(map.go, "extent")[0] ?? [-1, 1, -1, 1])
  }
  const resize = (map) => {
    if (!sized(map.plot)) return
    if (!map.fitted) {
      const chosen = column(map.go, "window")[0]
      if (chosen?.length === 4) place(map, chosen)
      else whole(map)
    } else if (map.home) whole(map)
    else {
      // A new size of the frame keeps place and scale.
      const [x0, x1, y0, y1] = windowOf(map.plot)
      const [w, h] = [(map.unit * map.plot.inner_width) / 2, (map.unit * map.plot.inner_height) / 2]
      const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2]
      place(map, [cx - w, cx + w, cy - h, cy + h])
    }
  }
  const moved = (map) => {
    if (!map.fitted || !sized(map.plot)) return
    const [x0, x1] = windowOf(map.plot)
    const extent = column(map.go, "extent")[0] ?? [x0, x1, 0, 0]
    map.unit = (x1 - x0) / map.plot.inner_width
    // "Whole" is what `whole` has set; anything else was the reader.
    map.home = map.home && x0 <= extent[0] && x1 >= extent[1] && Math.abs(x0 + x1 - extent[0] - extent[1]) < 1e-6 * (x1 - x0)
    if (!map.home) hide(map)
    if (!pointer.down) {
      look(map)
      return
    }
    // A picture of every place on the way would have the last one wait for the one before it.
    const now = performance.now()
    map.held ||= now
    clearTimeout(map.resting)
    clearTimeout(map.moving)
    map.resting = setTimeout(() => look(map, true), Math.max(PAUSE, map.since + APART - now))
    const left = Math.max(0, Math.max(map.since, map.held) + EVERY - now)
    if (left < PAUSE) map.moving = setTimeout(() => look(map), left)
  }

  // -- the tooltip: one element for all maps, filled with text only ----------------------------------------------------
  let tip = null
  const show = (map, told) => {
    if (!tip?.isConnected) {
      tip = document.createElement("div")
      tip.className = "hs-map-tip"
      tip.setAttribute("role", "tooltip")
      tip.style.cssText = `position:fixed;z-index:1000;pointer-events:none;max-width:280px;padding:6px 9px;
        border-radius:6px;font:12px/1.5 ${map.font};box-shadow:0 2px 8px rgba(0,0,0,.18);overflow-wrap:anywhere`
      document.body.append(tip)
    }
    Object.assign(tip.style, { background: map.card, color: map.ink, border: `1px solid ${map.line}`, display: "block" })
    tip.replaceChildren()
    const [head, ...rest] = told
    const word = document.createElement("b")
    word.textContent = head
    tip.append(word)
    for (const line of rest) {
      const row = document.createElement("div")
      row.textContent = line
      tip.append(row)
    }
    tip.dataset.map = map.id
    const box = tip.getBoundingClientRect()
    const left = pointer.x + 14 + box.width > innerWidth ? pointer.x - 14 - box.width : pointer.x + 14
    const top = Math.max(4, Math.min(pointer.y - box.height / 2, innerHeight - box.height - 4))
    tip.style.left = `${left}px`
    tip.style.top = `${top}px`
  }
  const hide = (map) => {
    clearTimeout(map.resting)
    map.over = null
    map.told = 0
    // Whatever a source is given is drawn again, so it is given nothing that it has already.
    if (column(map.hover, "x").length) map.hover.data = { x: [], y: [] }
    if (tip && tip.dataset.map === map.id) tip.style.display = "none"
  }
  // What is drawn on top of the map lies nearest: states of the trajectory before its segments, these before the ways of
  // others. Told by the columns of its sources, so that one thing is said at a time, and without asking the server.
  const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "")
  const tellings = {
    state: (of) => [
      of("word") || "␣",
      `word ${of("position").toLocaleString("en")} of ${of("length").toLocaleString("en")}`,
      `${of("predicted")}  ${percent(of("confidence"))}`,
      `${of("id")}  ·  class ${of("label")}`,
    ],
    segment: (of) => [
      `${of("from")} → ${of("to")}`,
      ...(Number.isFinite(of("jump")) ? [`step distance ${of("jump").toFixed(2)}`] : []),
      `${of("was")} ${percent(of("sure_was"))} → ${of("is")} ${percent(of("sure_is"))}`,
    ],
    other: (of) => [`${of("number")}  ${of("id")}`],
  }
  const kindOf = (data) => (data.word ? "state" : data.from ? "segment" : "other")
  const above = (map, x, y) => {
    const [across, up] = [1 / map.unit, 1 / map.unit]
    for (const source of map.above) {
      const data = source.data
      const [xs, ys, x0, y0, x1, y1] = ["x", "y", "x0", "y0", "x1", "y1"].map((name) => column(source, name))
      let best = -1
      let least = xs.length ? REACH * REACH : BESIDE * BESIDE
      for (let i = 0; i < xs.length; i++) {
        const squared = ((xs[i] - x) * across) ** 2 + ((ys[i] - y) * up) ** 2
        if (squared < least) [best, least] = [i, squared]
      }
      for (let i = 0; i < x0.length; i++) {
        const [dx, dy] = [x1[i] - x0[i], y1[i] - y0[i]]
        const t = Math.max(0, Math.min(1, ((x - x0[i]) * dx + (y - y0[i]) * dy) / (dx * dx + dy * dy || 1)))
        const squared = ((x0[i] + t * dx - x) * across) ** 2 + ((y0[i] + t * dy - y) * up) ** 2
        if (squared < least) [best, least] = [i, squared]
      }
      if (best >= 0) return tellings[kindOf(data)]((name) => data[name]?.[best] ?? "")
    }
    return null
  }
  const over = (map, x, y) => {
    clearTimeout(map.resting)
    if (pointer.down || !map.fitted || !Number.isFinite(x)) return hide(map)
    map.over = [x, y]
    const lines = above(map, x, y)
    if (lines) {
      hide(map)
      map.over = [x, y]
      map.resting = setTimeout(() => show(map, lines), REST)
      return
    }
    map.resting = setTimeout(() => {
      if (map.over) map.told = ask(map, "hover", [x, y, REACH * map.unit])
    }, REST)
  }
  const told = (map) => {
    const data = map.tell.data
    const serial = column(map.tell, "serial")[0]
    if (!map.over || serial !== map.told) return
    const lines = (data.lines ?? [])[0] ?? []
    if (!lines.length) return hide(map)
    map.hover.data = { x: [data.x[0]], y: [data.y[0]] }
    show(map, lines)
  }

  const stroke = (map, geometry, final) => {
    if (!final || !geometry) return
    const box = geometry.type === "rect"
    let [xs, ys] = box
      ? [[geometry.x0, geometry.x1, geometry.x1, geometry.x0], [geometry.y0, geometry.y0, geometry.y1, geometry.y1]]
      : [Array.from(geometry.x ?? []), Array.from(geometry.y ?? [])]
    if (!box) {
      // Corners less than two pixels apart say nothing, and would only make the address longer.
      const kept = []
      for (let i = 0; i < xs.length; i++) {
        const last = kept.at(-1)
        if (last === undefined || Math.hypot(xs[i] - xs[last], ys[i] - ys[last]) >= 2 * map.unit) kept.push(i)
      }
      ;[xs, ys] = [kept.map((i) => xs[i]), kept.map((i) => ys[i])]
    }
    const wide = Math.max(...xs) - Math.min(...xs)
    const high = Math.max(...ys) - Math.min(...ys)
    if (xs.length < 3 || Math.max(wide, high) < 3 * map.unit) return
    ask(map, "stroke", [pointer.mode, xs, ys])
  }

  window.hiddenstateMaps = {
    maps,
    register(id, models) {
      if (!maps.has(id)) {
        const map = { id, asked: 0, waiting: 0, since: 0, held: 0, pictures: 0, shown: 0, unit: 1, told: 0, above: [], home: false, ...models }
        maps.set(id, map)
        map.go.properties.data.change.connect(() => {
          const chosen = column(map.go, "window")[0]
          map.wanted = ""
          map.waiting = 0
          if (!sized(map.plot)) return
          if (chosen?.length === 4) {
            map.home = false
            place(map, chosen)
          } else whole(map)
        })
        map.reply.properties.data.change.connect(() => answered(map))
        map.tell.properties.data.change.connect(() => told(map))
      }
      resize(maps.get(id))
    },
    moved: (id) => maps.has(id) && moved(maps.get(id)),
    over: (id, x, y) => maps.has(id) && over(maps.get(id), x, y),
    leave: (id) => maps.has(id) && hide(maps.get(id)),
    stroke: (id, geometry, final) => maps.has(id) && stroke(maps.get(id), geometry, final),
    tap: (id, x, y) => {
      const map = maps.get(id)
      if (map) ask(map, "tap", [x, y, 12 * map.unit, pointer.mode])
    },
    whole: (id) => maps.has(id) && whole(maps.get(id)),
    tool: (id, name) => {
      const tool = maps.get(id)?.tools[name]
      if (tool) tool.active = true
    },
    // For tests and measurements: whether the picture of the window in sight is on the screen, and how many there were.
    state(id) {
      const map = maps.get(id ?? maps.keys().next().value)
      if (!map) return null
      const frame = sized(map.plot) ? [map.plot.inner_width, map.plot.inner_height].map(Math.round) : []
      const now = [...windowOf(map.plot), ...frame, map.home].join()
      const idle = !map.waiting && !map.pending && !map.stale
      return {
        pictures: map.pictures,
        current: idle && map.wanted === now && map.pictures > 0 && map.shown === map.pictures,
        window: map.fitted ? windowOf(map.plot) : null,
        points: column(map.points, "x").length,
        image: column(map.image, "image").length,
        tip: tip && tip.style.display !== "none" ? tip.innerText : null,
      }
    },
  }
})()
