"""Repositories: queries of the screens, one class per table or group of tables, each within the account of
its session. The engine's statements are in `db/queries`."""
