"""Members of an account: roles, access tokens and passwords (`use_cases`, `password_links`), and invitations
(`invitations`). Signing in is in `app/sessions`."""
