"""The database: tables (`models`), statements of the engine (`queries`), repositories of the screens
(`repositories`), migrations and seeds. `tenancy` keeps each repository within one account."""
