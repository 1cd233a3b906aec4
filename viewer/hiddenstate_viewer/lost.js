// Says when the server is out of reach, and loads the page again, as its address has it, once the server answers.
window.hiddenstateLost ??= (() => {
  const EVERY = 2000 // ms between two looks
  const PATIENCE = 5000 // ms after which an answer is not waited for any more
  const LOST = "The connection to the server is lost. This page comes back as it is once the server answers."
  const TOKEN = "The server was started anew with another token. Open the address that it printed."
  let line = null
  const look = async () => {
    try {
      const options = { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) }
      const { ok, status } = await fetch(location.href, options)
      if (ok) return location.reload()
      line.textContent = status === 403 ? TOKEN : LOST
    } catch {
      line.textContent = LOST
    }
    setTimeout(look, EVERY)
  }
  return () => {
    if (line) return
    line = document.createElement("div")
    line.className = "hs-lost"
    line.setAttribute("role", "alert")
    line.textContent = LOST
    document.body.append(line)
    setTimeout(look, EVERY) // a server that is about to end answers for a moment
  }
})()
