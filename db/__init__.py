"""The database: tables (`models`), ordinary rows by Advanced Alchemy (`repositories`), SQL as typed functions
(`queries`), migrations and seeds. `tenancy` keeps each repository within one account."""
