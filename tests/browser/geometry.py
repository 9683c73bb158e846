"""Where the controls of a page are."""

from typing import Any

from playwright.async_api import Page

CONTROLS = """() => [...document.querySelectorAll("button, a, input, select, textarea, summary")]
  .filter(e => !e.closest("#notes, template") && e.checkVisibility({visibilityProperty: true}))
  .map(e => {
    const {left, top, width, height} = e.getBoundingClientRect()
    const name = e.ariaLabel || e.textContent.trim() || e.name || e.href || e.type
    return [e.tagName + " " + name.slice(0, 40), ...[left, top, width, height].map(Math.round)]
  })"""
DROP_MESSAGES = """() => document.getElementById("notes").remove()"""

# Pairs of a button that saves and one that destroys with less than `gap` pixels between their edges.
TOO_CLOSE = """gap => {
  const seen = e => e.checkVisibility({visibilityProperty: true}) && !e.closest("#notes")
  const name = e => (e.ariaLabel || e.textContent).trim()
  const all = [...document.querySelectorAll(":is(main, #sheet) :is(button, a.button, summary)")].filter(seen)
  const destroying = /^(Delete|Remove|Archive|Revoke|Discard|Cancel this)/
  const destroys = e => e.matches(".danger") || destroying.test(name(e))
  const saves = e => !destroys(e) && (e.matches(".primary") || /^(Save|Create|Publish|Rename)/.test(name(e)))
  const close = (a, b) => {
    const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()]
    const across = Math.max(p.left - q.right, q.left - p.right)
    const down = Math.max(p.top - q.bottom, q.top - p.bottom)
    return Math.max(across, down) < gap
  }
  const pairs = all.filter(saves).flatMap(s => all.filter(destroys).map(d => [s, d]))
  return pairs.filter(([s, d]) => close(s, d)).map(([s, d]) => name(s) + " | " + name(d))
}"""


async def controls(page: Page) -> list[Any]:
    """Name, left, top, width and height, in pixels, of every visible control that is not in a message."""
    boxes: list[Any] = await page.evaluate(CONTROLS)
    return boxes


def overlap(a: Any, b: Any) -> bool:
    """Whether two boxes as Playwright gives them share a pixel."""
    across = a["x"] < b["x"] + b["width"] and b["x"] < a["x"] + a["width"]
    return bool(across and a["y"] < b["y"] + b["height"] and b["y"] < a["y"] + a["height"])
