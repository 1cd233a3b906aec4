// One sequence's views in a file: the map on a canvas, and one cursor for words, columns, bars and points.
(() => {
  const values = JSON.parse(document.getElementById("values").textContent)
  const { look, read, beside, map } = values
  const REACH = 14 // pixels within which a point of the trajectory is taken to be meant
  const MOST_LABELS = 16
  const find = (selector) => document.querySelector(selector)
  const words = find(".hs-words")
  const readout = find(".hs-readout")
  const charts = Array.from(document.querySelectorAll("[data-chart]"))
  const boxes = charts.map((chart) => chart.querySelector(".hs-box"))
  const line = find(".hs-line")
  const slider = document.getElementById("threshold")
  const count = read ? read.words.length : 0
  let step = -1
  let labels = []
  let draw = () => {}

  const mark = (next, from) => {
    if (!(Number.isInteger(next) && next >= 0 && next < count)) next = -1
    if (next === step) return
    step = next
    words?.querySelector(".hs-on")?.classList.remove("hs-on")
    const word = next < 0 ? null : words?.querySelector(`[data-step="${next}"]`)
    if (word) {
      word.classList.add("hs-on")
      const low = word.offsetTop - words.offsetTop
      const hidden = low < words.scrollTop || low + word.offsetHeight > words.scrollTop + words.clientHeight
      if (from !== "words" && hidden) words.scrollTop = low - words.clientHeight / 2
    }
    for (const box of boxes) {
      box.style.display = next < 0 ? "none" : "block"
      box.style.left = `${(100 * next) / count}%`
      box.style.width = `${100 / count}%`
    }
    if (readout) tell()
    draw()
  }
  const tell = () => {
    readout.replaceChildren()
    if (step < 0) return readout.append(readout.dataset.hint)
    const word = document.createElement("b")
    word.textContent = read.words[step]
    readout.append(`${step + 1}  `, word, `  ${read.predicted[step]} ${(100 * read.confidence[step]).toFixed(1)} %`)
    if (step < read.jumps.length) readout.append(`  ·  step ${read.jumps[step].toFixed(2)}`)
  }
  words?.addEventListener("pointermove", (event) => {
    const word = event.target.closest("[data-step]")
    mark(word ? Number(word.dataset.step) : -1, "words")
  })
  words?.addEventListener("pointerleave", () => mark(-1))
  for (const chart of charts) {
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect()
      mark(Math.floor(((event.clientX - box.left) / box.width) * count))
    })
    chart.addEventListener("pointerleave", () => mark(-1))
  }

  const threshold = () => (slider ? Number(slider.value) / 100 : 1)
  const relevel = () => {
    if (line) line.style.bottom = `${100 * threshold()}%`
    if (slider) document.getElementById("percent").value = slider.value
    draw()
  }
  slider?.addEventListener("input", relevel)

  if (map) {
    const canvas = document.getElementById("map")
    const context = canvas.getContext("2d")
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
    const unpack = (packed) => packed && {
      places: new Float32Array(bytes(packed.places).buffer),
      colours: bytes(packed.colours),
    }
    const points = unpack(map.points)
    const chosen = unpack(map.chosen)
    let image = null
    let view = null // x and y in the middle, and pixels a unit
    let asked = 0

    const fit = (window) => {
      const [x0, x1, y0, y1] = window
      const scale = Math.min(canvas.clientWidth / (x1 - x0), canvas.clientHeight / (y1 - y0))
      view = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale }
    }
    const place = (x, y) => [
      canvas.clientWidth / 2 + (x - view.x) * view.scale,
      canvas.clientHeight / 2 - (y - view.y) * view.scale,
    ]
    const scatter = (found, size, alpha) => {
      if (!found) return
      context.globalAlpha = alpha
      for (let i = 0; i < found.places.length / 2; i++) {
        const [x, y] = place(found.places[2 * i], found.places[2 * i + 1])
        if (x < -5 || y < -5 || x > canvas.clientWidth + 5 || y > canvas.clientHeight + 5) continue
        context.fillStyle = `rgb(${found.colours[3 * i]},${found.colours[3 * i + 1]},${found.colours[3 * i + 2]})`
        context.beginPath()
        context.arc(x, y, size, 0, 7)
        context.fill()
      }
      context.globalAlpha = 1
    }
    const ring = (x, y, radius, colour, width) => {
      context.strokeStyle = colour
      context.lineWidth = width
      context.beginPath()
      context.arc(x, y, radius, 0, 7)
      context.stroke()
    }
    const trajectory = (path, width, size) => {
      const at = path.x.map((x, i) => place(x, path.y[i]))
      if (!at.length) return
      context.lineCap = "round"
      context.lineWidth = width
      context.setLineDash(path.dash ? [5, 4] : [])
      for (let i = 1; i < at.length; i++) {
        context.strokeStyle = path.segments[i - 1]
        context.beginPath()
        context.moveTo(...at[i - 1])
        context.lineTo(...at[i])
        context.stroke()
      }
      context.setLineDash([])
      for (let i = 0; i < at.length; i++) {
        context.fillStyle = path.colours[i]
        context.beginPath()
        context.arc(...at[i], size, 0, 7)
        context.fill()
        ring(...at[i], size, look.card, 0.8)
      }
      ring(...at[0], 2 * size + 1, look.start, 2.5)
      ring(...at[at.length - 1], 2 * size + 1, look.end, 2.5)
    }
    // Words at the longest steps, the longest first; a word that finds no free place is left out.
    const label = () => {
      labels = []
      if (!read || threshold() >= 1) return
      const order = [...read.jumps.keys()].filter((i) => read.jumps[i] >= threshold() && i < read.x.length)
      order.sort((a, b) => read.jumps[b] - read.jumps[a])
      context.font = `11px ${values.font}`
      context.textBaseline = "middle"
      const taken = []
      for (const i of order) {
        if (labels.length >= MOST_LABELS) break
        const [x, y] = place(read.x[i], read.y[i])
        const wide = context.measureText(read.words[i]).width + 4
        for (const [dx, dy] of [[9, -11], [-9 - wide, -11], [9, 11], [-9 - wide, 11], [-wide / 2, -19]]) {
          const box = [x + dx, y + dy - 8, x + dx + wide, y + dy + 8]
          const inside = box[0] >= 0 && box[1] >= 0 && box[2] <= canvas.clientWidth && box[3] <= canvas.clientHeight
          if (!inside || taken.some((t) => t[0] < box[2] && box[0] < t[2] && t[1] < box[3] && box[1] < t[3])) continue
          taken.push(box)
          labels.push(read.words[i])
          context.globalAlpha = 0.8
          context.fillStyle = look.card
          context.fillRect(box[0], box[1], wide, 16)
          context.globalAlpha = 1
          context.fillStyle = look.ink
          context.fillText(read.words[i], box[0] + 2, y + dy)
          break
        }
      }
    }
    const paint = () => {
      asked = 0
      const ratio = window.devicePixelRatio || 1
      const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)]
      if (!wide || !high) return
      if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high]
      if (!view) fit(map.window)
      context.setTransform(ratio, 0, 0, ratio, 0, 0)
      context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight)
      const some = read || chosen || beside.length
      if (image) {
        const [left, top] = place(map.extent[0], map.extent[3])
        const [right, bottom] = place(map.extent[1], map.extent[2])
        context.globalAlpha = some ? 0.35 : 1
        context.drawImage(image, left, top, right - left, bottom - top)
        context.globalAlpha = 1
      }
      scatter(points, 2.2, some ? 0.28 : 0.75)
      scatter(chosen, 2.6, 0.85)
      for (const path of beside) trajectory(path, 1.3, 2.4)
      if (read) trajectory(read, 1.8, 3.5)
      label()
      if (step >= 0 && step < read.x.length) ring(...place(read.x[step], read.y[step]), 7, look.ink, 2.5)
    }
    draw = () => {
      if (!asked) asked = requestAnimationFrame(paint)
    }
    const nearest = (x, y) => {
      if (!read) return -1
      let [best, least] = [-1, REACH * REACH]
      for (let i = 0; i < read.x.length; i++) {
        const [px, py] = place(read.x[i], read.y[i])
        const squared = (px - x) ** 2 + (py - y) ** 2
        if (squared < least) [best, least] = [i, squared]
      }
      return best
    }
    let held = null
    canvas.addEventListener("pointerdown", (event) => {
      held = [event.offsetX, event.offsetY]
      canvas.setPointerCapture(event.pointerId)
    })
    canvas.addEventListener("pointerup", () => (held = null))
    canvas.addEventListener("pointercancel", () => (held = null))
    canvas.addEventListener("pointermove", (event) => {
      if (held) {
        view.x -= (event.offsetX - held[0]) / view.scale
        view.y += (event.offsetY - held[1]) / view.scale
        held = [event.offsetX, event.offsetY]
        draw()
      } else mark(nearest(event.offsetX, event.offsetY))
    })
    canvas.addEventListener("pointerleave", () => mark(-1))
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault()
      const factor = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015))
      const [dx, dy] = [event.offsetX - canvas.clientWidth / 2, canvas.clientHeight / 2 - event.offsetY]
      view.x += (dx / view.scale) * (1 - 1 / factor)
      view.y += (dy / view.scale) * (1 - 1 / factor)
      view.scale *= factor
      draw()
    }, { passive: false })
    document.getElementById("whole").addEventListener("click", () => {
      fit(map.extent)
      draw()
    })
    new ResizeObserver(draw).observe(canvas)
    if (map.image) {
      image = new Image()
      image.onload = draw
      image.src = map.image
    }
  }
  relevel()

  // What is marked, for tests and for scripts: the step, and where each view shows it.
  window.hiddenstate = {
    marked: () => ({
      step,
      word: words?.querySelector(".hs-on")?.dataset.step ?? null,
      boxes: boxes.map((box) => (box.style.display === "block" ? Math.round((parseFloat(box.style.left) / 100) * count) : null)),
      point: step >= 0 && read.x.length ? [read.x[step], read.y[step]] : null,
      labels: [...labels],
    }),
    mark: (next) => mark(next),
  }
})()
