"""Inbound webhooks: secret addresses that start workflows from outside."""
