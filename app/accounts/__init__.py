"""Accounts: the tenants. `provisioning` creates one with its owner; `use_cases` changes its settings."""
