"""The Overview: the start page of an account, with its failures and the state of its workflows."""
