"""The OpenAPI 3.1 document of the API, made for programs that generate clients from it, and its page.

`document.build_document` puts it together: the routes and parameters come from Litestar (`config`), the
schemas from msgspec (`schemas`), which also reads the bodies and writes the answers, and what surrounds a
handler from `operations`."""
