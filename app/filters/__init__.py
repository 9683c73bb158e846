"""The one filter language: `ast` is its data, `matches` its Python meaning, `db.filters` its SQL meaning."""
