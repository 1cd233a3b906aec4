// Says when the server is out of reach, and loads the page again, as its address has it, once the server answers; and where
// no page comes because its WebSocket is not let through.
window.hiddenstateLost ??= (() => {
  const EVERY = 2000 // ms between two looks
  const PATIENCE = 5000 // ms after which an answer is not waited for any more
  const LATE = 10000 // ms without a page after which the reader is told why that may be
  const LOST = "The connection to the server is lost. This page comes back as it is once the server answers."
  const TOKEN = "The server was started anew with another token. Open the address that it printed."
  const UNHEARD =
    "The page has loaded, but nothing comes through its WebSocket yet. If this goes on, let the proxy pass WebSockets on, " +
    "and start the server with --origin and the address in your browser."
  let line = null
  const tell = (text) => {
    if (!line) {
      line = document.createElement("div")
      line.className = "hs-lost"
      line.setAttribute("role", "alert")
      document.body.append(line)
    }
    line.textContent = text
  }
  const look = async () => {
    try {
      const options = { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) }
      const { ok, status } = await fetch(location.href, options)
      if (ok) return location.reload()
      tell(status === 403 ? TOKEN : LOST)
    } catch {
      tell(LOST)
    }
    setTimeout(look, EVERY)
  }
  let lost = false
  const listen = () => {
    if (lost) return
    if (window.Bokeh?.documents.length) {
      line?.remove()
      line = null
      return
    }
    tell(UNHEARD)
    setTimeout(listen, EVERY)
  }
  setTimeout(listen, LATE)
  return () => {
    if (lost) return
    lost = true
    tell(LOST)
    setTimeout(look, EVERY) // a server that is about to end answers for a moment
  }
})()
