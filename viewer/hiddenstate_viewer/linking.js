// One cursor for all views of a page: hovering a word, a column, a bar or a point marks its counterparts everywhere;
// the scrubber holds it at a word, playback walks it through the sequence. It runs in the browser alone, so it needs no
// server and works in a report opened from a file.
(() => {
  if (window.hiddenstate) return
  const pages = new Map()
  const REACH = 14 // pixels within which a point of the trajectory is taken to be meant
  const BESIDE = 4 // and a segment of it
  const PALE = 0.12 // of the way that lies beyond the scrubber
  const [WHOLE, LEAST, MOST] = [20000, 40, 400] // milliseconds of playback: of all words, and of one

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
    // A pane that was given new markup still has its shadow tree; to look through all of the page takes milliseconds.
    const selector = `.${name}[data-page="${page.id}"]`
    const root = page.roots[name]
    const found = (root?.host?.isConnected && root.querySelector(selector)) || deep(document, selector)
    page.roots[name] = found?.getRootNode()
    return (page.elements[name] = found)
  }
  const column = (source, name) => source.data[name] ?? []
  const steps = (page) => page.maps[0].steps
  const count = (page) => column(steps(page), "word").length
  const scale = (plot) => [
    plot.inner_width / (plot.x_range.end - plot.x_range.start),
    plot.inner_height / (plot.y_range.end - plot.y_range.start),
  ]
  // Where the cursor stands: at what the pointer is over, else where the scrubber holds it.
  const at = (page) => (page.step >= 0 ? page.step : page.held)

  const readout = (page) => {
    const line = element(page, "hs-readout")
    if (!line) return
    line.replaceChildren()
    const step = at(page)
    if (step < 0) {
      line.append(line.dataset.hint ?? "")
      return
    }
    const value = (name) => column(steps(page), name)[step]
    const word = document.createElement("b")
    word.textContent = value("word")
    line.append(`${step + 1}  `, word, `  ${value("predicted")} ${(100 * value("confidence")).toFixed(1)} %`)
    const jump = value("jump")
    if (Number.isFinite(jump)) line.append(`  ·  step ${jump.toFixed(2)}`)
  }

  const show = (page, from) => {
    const step = at(page)
    const words = element(page, "hs-words")
    if (words) {
      words.querySelector(".hs-on")?.classList.remove("hs-on")
      const word = step < 0 ? null : words.querySelector(`[data-step="${step}"]`)
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
      box.setv(step < 0 ? { visible: false } : { left: step + 0.5, right: step + 1.5, visible: true })
    for (const map of page.maps) {
      const x = column(map.steps, "x")[step]
      const y = column(map.steps, "y")[step]
      map.focus.data = Number.isFinite(x) ? { x: [x], y: [y] } : { x: [], y: [] }
    }
    readout(page)
  }

  const mark = (page, step, from) => {
    const next = Number.isInteger(step) && step >= 0 && step < count(page) ? step : -1
    if (next === page.step) return
    page.step = next
    show(page, from)
  }

  // The way beyond the scrubber is pale.
  const dim = (page) => {
    for (const map of page.maps) {
      for (const source of [map.steps, map.segments]) {
        const number = source.data.alpha?.length ?? 0
        const shown = page.held < 0 ? number : source === map.steps ? page.held + 1 : page.held
        const alpha = new Float32Array(number).fill(PALE)
        alpha.fill(1, 0, Math.max(shown, 0))
        if (!number) continue
        source.data.alpha = alpha
        source.change.emit()
      }
      if (!map.ends?.data.alpha?.length) continue
      map.ends.data.alpha = [1, page.held < 0 || page.held >= count(page) - 1 ? 1 : PALE]
      map.ends.change.emit()
    }
    relabel(page)
  }
  const hold = (page, step, told) => {
    const next = Number.isInteger(step) && step >= 0 && step < count(page) ? step : -1
    if (next !== page.held) {
      page.held = next
      page.step = -1 // a pointer that rests somewhere since long is not what is meant
      dim(page)
      show(page, "scrubber")
    }
    const scrubber = element(page, "hs-scrub")
    if (scrubber && Number(scrubber.value) !== next + 1) scrubber.value = next + 1
    const place = element(page, "hs-place")
    if (place) place.textContent = next < 0 ? `all ${count(page)}` : `${next + 1} of ${count(page)}`
    if (told) ask(page, "step", next)
  }

  // A click on a word, or on what stands for one.
  const toggle = (page, step) => {
    pause(page)
    hold(page, step === page.held ? -1 : step, true)
  }

  const pause = (page) => {
    if (page.playing) clearInterval(page.playing)
    page.playing = 0
    const button = element(page, "hs-play")
    if (!button) return
    button.setAttribute("aria-pressed", "false")
    button.textContent = "Play"
  }
  const play = (page) => {
    if (page.playing) {
      pause(page)
      ask(page, "step", page.held)
      return
    }
    const number = count(page)
    if (!number) return
    if (page.held >= number - 1) hold(page, -1)
    const button = element(page, "hs-play")
    button?.setAttribute("aria-pressed", "true")
    if (button) button.textContent = "Pause"
    page.playing = setInterval(() => {
      hold(page, page.held + 1)
      if (page.held >= count(page) - 1) {
        pause(page)
        ask(page, "step", page.held)
      }
    }, Math.min(Math.max(WHOLE / number, LEAST), MOST))
  }

  const nearest = (map, x, y) => {
    const xs = column(map.steps, "x")
    const ys = column(map.steps, "y")
    const [across, up] = scale(map.plot)
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

  // The step that a segment under the pointer leads to.
  const alongside = (map, x, y) => {
    const [across, up] = scale(map.plot)
    const [x0, y0, x1, y1] = ["x0", "y0", "x1", "y1"].map((name) => column(map.segments, name))
    let best = -1
    let least = BESIDE * BESIDE
    for (let i = 0; i < x0.length; i++) {
      const [ax, ay] = [(x0[i] - x) * across, (y0[i] - y) * up]
      const [bx, by] = [(x1[i] - x0[i]) * across, (y1[i] - y0[i]) * up]
      const share = Math.min(Math.max(-(ax * bx + ay * by) / (bx * bx + by * by || 1), 0), 1)
      const squared = (ax + share * bx) ** 2 + (ay + share * by) ** 2
      if (squared < least) [best, least] = [i + 1, squared]
    }
    return best
  }

  const relabel = (page) => {
    if (page.pending) return
    page.pending = requestAnimationFrame(() => {
      page.pending = 0
      for (const map of page.maps) window.hiddenstateLabels?.(map, page.rules, page.font, page.held)
    })
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
  const has = (path, name) => path.find((node) => node.classList?.contains(name))

  // Moves are heard rather than entries: an entry from one word to the next never leaves their shadow tree.
  let reading = null
  document.addEventListener("pointermove", (event) => {
    const path = event.composedPath()
    const page = has(path, "hs-words") ? pageOf(path) : undefined
    if (page) {
      const word = path.find((node) => node.dataset?.step !== undefined)
      mark(page, word ? Number(word.dataset.step) : -1, "words")
    } else if (reading) mark(reading, -1, "words")
    reading = page
  }, true)
  document.addEventListener("click", (event) => {
    const path = event.composedPath()
    const page = pageOf(path)
    if (!page) return
    if (has(path, "hs-play")) play(page)
    else if (has(path, "hs-words")) {
      const word = path.find((node) => node.dataset?.step !== undefined)
      if (word) toggle(page, Number(word.dataset.step))
    }
  })
  document.addEventListener("input", (event) => {
    const path = event.composedPath()
    const page = has(path, "hs-scrub") ? pageOf(path) : undefined
    if (!page) return
    const scrubber = path[0]
    pause(page)
    hold(page, Number(scrubber.value) - 1)
    // When it is let go; that event never leaves its shadow tree.
    scrubber.onchange = () => hold(page, Number(scrubber.value) - 1, true)
  })
  document.addEventListener("keydown", (event) => {
    const path = event.composedPath()
    const target = path[0]
    for (const page of pages.values()) {
      if (!page.keys) continue
      if (event.key === "Escape") {
        pause(page)
        ask(page, "clear", 0)
      }
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || target.role === "slider" || target.isContentEditable
      const busy = typing || target.classList?.contains("noUi-handle")
      if (busy || event.ctrlKey || event.metaKey || event.altKey) continue
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
      const along = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (by) ask(page, "move", by)
      else if (along && count(page)) {
        pause(page)
        hold(page, Math.min(Math.max(page.held + along, -1), count(page) - 1), true)
      } else if (event.key === " " && target.tagName !== "BUTTON" && count(page)) play(page)
      else continue
      event.preventDefault()
    }
  })

  // Panel's sliders do not tell those who cannot see them what their handles are for, nor Bokeh's charts what they are.
  const CHARTS = {
    "hs-map": "Map of hidden states", "hs-map-beside": "Second map of hidden states",
    "hs-heatmap": "Class probability over time", "hs-distances": "Step distances",
    "hs-class-bars": "True classes", "hs-confusion": "Confusion matrix",
    "hs-typed-heatmap": "Class probability over time, your text", "hs-typed-distances": "Step distances, your text",
    "hs-original-heatmap": "Class probability over time, original", "hs-original-distances": "Step distances, original",
    "hs-apart": "Distance of the predictions of the two texts",
  }
  const namedChart = (ground) => {
    for (const [name, label] of Object.entries(CHARTS))
      for (const page of Bokeh.documents) {
        const model = page.get_model_by_name(name)
        if (!model || Bokeh.index.find_one(model)?.canvas_view?.events_el !== ground) continue
        ground.setAttribute("role", "img")
        ground.setAttribute("aria-label", label)
      }
  }
  const named = (handle) => {
    const title = handle.getRootNode().querySelector(".bk-slider-title")?.firstChild?.textContent
    if (title) handle.setAttribute("aria-label", title.replace(/:\s*$/, ""))
  }
  const nameAll = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (one.classList.contains("noUi-handle")) named(one)
      else if (one.classList.contains("bk-events") && !one.ariaLabel) namedChart(one)
      else if (one.classList.contains("tabulator-tableholder")) one.setAttribute("aria-label", "Rows of sequences")
      if (one.shadowRoot) nameAll(one.shadowRoot)
    }
  }
  // Once what is new has been drawn, and before the keyboard reaches it: moves within a shadow tree are not heard here.
  let naming = 0
  const nameSoon = () => {
    naming ||= setTimeout(() => {
      naming = 0
      nameAll(document)
    }, 300)
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !event.repeat) nameAll(document)
  }, true)

  // Bokeh frames a chart that was clicked as if the keyboard had brought the reader there; its style lies in a shadow
  // tree that no style of the page's reaches. The pointer is down before the chart has the focus.
  let unframed = null
  document.addEventListener("pointerdown", (event) => {
    const ground = has(event.composedPath(), "bk-events")
    const tree = ground?.getRootNode()
    if (!tree) return
    if (!unframed) {
      unframed = new CSSStyleSheet()
      unframed.replaceSync(".bk-events:focus:not(:focus-visible) { outline: none }")
    }
    if (!tree.adoptedStyleSheets.includes(unframed)) tree.adoptedStyleSheets = [...tree.adoptedStyleSheets, unframed]
  }, true)

  window.hiddenstate = {
    pages,
    register(id, models) {
      nameSoon()
      if (pages.has(id)) return
      pages.set(id, { id, step: -1, held: -1, elements: {}, roots: {}, ...models })
      this.refresh(id)
    },
    // One more map, which was not there when the page was registered.
    join(id, number, map) {
      const page = pages.get(id)
      if (!page || page.maps[number]) return
      page.maps[number] = map
      show(page)
      relabel(page)
    },
    // Another sequence, or none.
    refresh(id) {
      const page = pages.get(id)
      if (!page) return
      pause(page)
      page.step = -1
      page.held = -1
      const wanted = page.rules ? column(page.rules, "step")[0] ?? -1 : -1
      page.ordered = wanted
      const scrubber = element(page, "hs-scrub")
      if (scrubber) scrubber.max = count(page)
      hold(page, wanted)
      show(page)
      relabel(page)
    },
    at(id, x) {
      const page = pages.get(id)
      if (page) mark(page, Math.round(x) - 1)
    },
    press(id, x) {
      const page = pages.get(id)
      const step = Math.round(x) - 1
      if (page && step >= 0 && step < count(page)) toggle(page, step)
    },
    over(id, number, x, y) {
      const page = pages.get(id)
      if (!page) return
      const point = nearest(page.maps[number], x, y)
      mark(page, point >= 0 ? point : alongside(page.maps[number], x, y))
    },
    leave(id) {
      const page = pages.get(id)
      if (page) mark(page, -1)
    },
    relabel(id) {
      const page = pages.get(id)
      if (page) relabel(page)
    },
    // What the server says of the step, unless it says it again, or says only what it was told by this page, which may
    // have gone on since.
    order(id, step, own) {
      const page = pages.get(id)
      if (!page || step === page.ordered) return
      page.ordered = step
      if (!own) hold(page, step)
    },
    // What is marked, for tests and for scripts: the step, and where each view shows it.
    marked(id) {
      const page = pages.get(id ?? pages.keys().next().value)
      if (!page) return null
      return {
        step: at(page),
        held: page.held,
        playing: Boolean(page.playing),
        word: element(page, "hs-words")?.querySelector(".hs-on")?.dataset.step ?? null,
        boxes: page.boxes.map((box) => (box.visible ? (box.left + box.right) / 2 - 1 : null)),
        points: page.maps.map((map) => [column(map.focus, "x")[0] ?? null, column(map.focus, "y")[0] ?? null]),
        labels: page.maps.map((map) => Array.from(column(map.labels, "text"))),
        shown: page.maps.map((map) => Array.from(column(map.steps, "alpha")).filter((alpha) => alpha === 1).length),
      }
    },
  }
})()
