"""The application: one package per area of the screens (`contacts`, `workflows`, `enrollments`, …), the
workflow engine (`engine`), and what they share (`work`, `filters`, `web`, `ports`). `main` builds the web
application."""
