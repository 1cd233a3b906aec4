// What is filtered by, each with a button that takes it away; all text is put in as text, never as markup.

export function render({model, el}) {
  let again = -1
  const make = (tag, attributes, parent, text = "") => {
    const made = document.createElement(tag)
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, value)
    }
    made.textContent = text
    parent.append(made)
    return made
  }
  const group = make("div", {role: "group", "aria-label": "Filters in use", class: "chips"}, el)
  const foot = make("div", {class: "foot"}, el)
  const summary = make("span", {role: "status", class: "summary"}, foot)
  const all = make("button", {type: "button", class: "all"}, foot, "Clear all")
  all.addEventListener("click", () => model.send_msg({type: "clear"}))
  const draw = () => {
    group.replaceChildren()
    model.items.forEach((item, i) => {
      const chip = make("span", {class: "chip"}, group)
      make("span", {class: "text", title: item.text}, chip, item.text)
      make("small", {title: "sequences that meet this alone"}, chip, item.count)
      const label = `Take away: ${item.text}`
      const button = make("button", {type: "button", "aria-label": label, title: label}, chip, "×")
      button.addEventListener("click", () => {
        again = i
        model.send_msg({type: "remove", name: item.name})
      })
    })
    all.hidden = !model.items.length
    if (again >= 0) {
      // The keyboard stays where it was.
      const buttons = el.querySelectorAll("button:not([hidden])")
      buttons[Math.min(again, buttons.length - 1)]?.focus()
      again = -1
    }
  }
  const say = () => {
    summary.textContent = model.summary
  }
  model.on("items", draw)
  model.on("summary", say)
  draw()
  say()
}
