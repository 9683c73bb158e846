"""Inbound webhooks: secret URLs through which other systems start workflows."""
