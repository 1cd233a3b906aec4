// Spares the browser what Bokeh (3.9) does for nothing whenever it paints: half of the time that a map takes; and has it
// wait for a reader who hesitates.
(() => {
  const known = window.Bokeh
  if (typeof known?.require !== "function" || known.hiddenstateQuick) return
  known.hiddenstateQuick = true
  const replace = (name, kind, method, made) => {
    try {
      const prototype = known.require(name)[kind].prototype
      if (typeof prototype[method] === "function") prototype[method] = made(prototype[method])
    } catch {
      // Another Bokeh: it paints as it likes.
    }
  }
  // It writes the style sheets of all that is painted, whatever they say already: the browser parses them and computes
  // the styles of the page anew.
  replace("core/dom", "InlineStyleSheet", "_update", (update) => {
    return function (css) {
      if (this.el.textContent !== css) update.call(this, css)
    }
  })
  // It looks which of no points are in sight, and has the styles computed in which it would draw none.
  replace("models/renderers/glyph_renderer", "GlyphRendererView", "_paint", (paint) => {
    return function (context) {
      if (this.model.data_source.get_length() !== 0) paint.call(this, context)
    }
  })
  // It takes a button that is held for 300 ms for a press, of which the charts make nothing, and whoever holds it no
  // longer begins a stroke or a click. A busy machine is slow enough for that as well.
  const ours = (gestures) => gestures.handlers?.canvas_view?.plot_views?.some((view) => /^hs-/.test(view.model.name ?? ""))
  replace("core/ui_gestures", "UIGestures", "_start_timeout", (start) => {
    return function () {
      if (!ours(this)) start.call(this)
    }
  })
  // It asks for the computed styles of all it paints, in case a style sheet says how ("--bk-..."). In a page of the
  // viewer's own none does; in others, a notebook say, one may.
  if (window.hiddenstateServed) replace("core/visuals/visual", "VisualProperties", "_get_css_value", () => () => "")
})()
