"""Names a browser and its system from a User-Agent. Pure."""

BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("HeadlessChrome/", "Headless Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-httpx/", "a Python script"),
    ("python-requests/", "a Python script"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def agent_name(agent: str) -> str:
    """A User-Agent as "Firefox on Linux"; for an unknown browser its first word."""
    first = agent.partition(" ")[0].partition("/")[0][:40]
    browser = next((name for mark, name in BROWSERS if mark in agent), first)
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    return f"{browser or 'Unknown'} on {system}" if system else browser or "Unknown"
