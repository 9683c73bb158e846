"""Outbound effects: email, SMS, chat messages, webhooks.

In: due rows of the effects ledger. Out: calls to the outside world and their outcomes.
Entry point: `dispatcher.send_effects`.
"""
