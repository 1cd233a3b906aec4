// The search line: a combobox whose suggestions come from the server; all text is put in as text, never as markup.

const TYPING = 250
const SUGGESTING = 90

export function render({model, el}) {
  const name = `hs-${Math.random().toString(36).slice(2)}`
  const make = (tag, attributes, parent) => {
    const made = document.createElement(tag)
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, value)
    }
    parent.append(made)
    return made
  }
  const box = make("div", {class: "box"}, el)
  const input = make("input", {
    type: "text", role: "combobox", "aria-label": "Search sequences", "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": name, autocomplete: "off", spellcheck: "false", maxlength: "2000",
    placeholder: 'Search: words, "a phrase", class:…', title: model.hint,
  }, box)
  const clear = make("button", {type: "button", "aria-label": "Clear the search line", title: "Clear"}, box)
  clear.textContent = "×"
  const below = make("div", {class: "below"}, el)
  const complaint = make("div", {class: "complaint", role: "status"}, below)
  const list = make("ul", {id: name, role: "listbox", "aria-label": "Suggestions"}, below)
  let [asked, chosen, items, typing, suggesting, unfinished] = [0, -1, [], null, null, false]

  const send = (done) => {
    clearTimeout(typing)
    typing = null
    unfinished = !done
    model.send_msg({type: "typed", line: input.value, done})
  }
  const show = () => {
    const open = items.length > 0
    input.setAttribute("aria-expanded", String(open))
    list.hidden = !open
    complaint.hidden = !complaint.textContent
    below.hidden = list.hidden && complaint.hidden
    clear.hidden = !input.value
    list.replaceChildren()
    items.forEach((item, i) => {
      const row = make("li", {id: `${name}-${i}`, role: "option", "aria-selected": String(i === chosen)}, list)
      make("span", {}, row).textContent = item.text
      make("small", {}, row).textContent = item.note
      row.addEventListener("pointerdown", (event) => {
        event.preventDefault()
        take(i)
      })
    })
    if (chosen >= 0) {
      input.setAttribute("aria-activedescendant", `${name}-${chosen}`)
    } else {
      input.removeAttribute("aria-activedescendant")
    }
  }
  const close = () => {
    clearTimeout(suggesting)
    asked += 1
    items = []
    chosen = -1
    show()
  }
  const take = (i) => {
    input.value = items[i].line
    input.setSelectionRange(items[i].caret, items[i].caret)
    close()
    send(true)
    if (input.value.slice(0, input.selectionStart).endsWith(":")) {
      suggest()
    }
  }
  const suggest = () => {
    clearTimeout(suggesting)
    suggesting = setTimeout(() => {
      asked += 1
      model.send_msg({type: "suggest", line: input.value, caret: input.selectionStart ?? 0, number: asked})
    }, SUGGESTING)
  }

  input.addEventListener("input", () => {
    clearTimeout(typing)
    typing = setTimeout(() => send(false), TYPING)
    chosen = -1
    clear.hidden = !input.value
    suggest()
  })
  input.addEventListener("keydown", (event) => {
    const open = items.length > 0
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const by = event.key === "ArrowDown" ? 1 : -1
      chosen = chosen < 0 && by < 0 ? items.length - 1 : (chosen + by + items.length + 1) % (items.length + 1)
      chosen = chosen === items.length ? -1 : chosen
      show()
      event.preventDefault()
    } else if (event.key === "Enter" || (event.key === "Tab" && open && chosen >= 0)) {
      if (open && chosen >= 0) {
        take(chosen)
        event.preventDefault()
      } else {
        close()
        send(true)
      }
    } else if (event.key === "Escape" && !open) {
      input.blur()
      return // the page may have something to end
    } else if (event.key === "Escape") {
      close()
    }
    event.stopPropagation() // what is typed is none of the page's keys
  })
  input.addEventListener("blur", () => {
    close()
    if (typing !== null || unfinished) {
      send(true)
    }
  })
  clear.addEventListener("click", () => {
    input.value = ""
    close()
    send(true)
    input.focus()
  })
  model.on("line", () => {
    if (typing === null && !unfinished && input.value !== model.line) {
      input.value = model.line
      show()
    }
  })
  model.on("complaint", () => {
    complaint.textContent = model.complaint
    show()
  })
  model.on("msg:custom", (message) => {
    if (message.number === asked && el.getRootNode().activeElement === input) {
      items = message.items
      chosen = -1
      show()
    }
  })
  input.value = model.line
  complaint.textContent = model.complaint
  show()
}
