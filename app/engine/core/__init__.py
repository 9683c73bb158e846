"""The rules of the engine, pure: standard library, msgspec and `app.filters` only.

In: a compiled version (`version`), an enrollment, the facts about its contact, and the time.
Out: a `types.Decision` of what to write and what to send. Entry point: `advance.advance`.
"""
