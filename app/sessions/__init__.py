"""Signing in and out. `use_cases` checks the password and opens the session, `principals` loads the member of
each later request, and `throttle` limits attempts. `demo` lists the users of the demo."""
